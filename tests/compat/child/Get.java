// Get WHAT URL: one GET with HttpURLConnection or HttpClient, with nothing but the properties. What fails is printed as Java prints it.
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Get {
    static String connection(URI url) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) url.toURL().openConnection();
        try (InputStream body = connection.getInputStream()) {
            return new String(body.readAllBytes());
        }
    }

    static String client(URI url) throws Exception {
        HttpResponse<String> answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(url).build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new java.io.IOException("status " + answer.statusCode());
        }
        return answer.body();
    }

    public static void main(String[] words) throws Exception {
        URI url = URI.create(words[1]);
        System.out.print(words[0].equals("client") ? client(url) : connection(url));
    }
}
