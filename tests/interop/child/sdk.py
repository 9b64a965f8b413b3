"""sdk.py MODULES WHAT: the vendors' Python clients with nothing but their environment. Words are printed as they come, one piece a line."""

import sys

modules, what = sys.argv[1:]
sys.path.insert(0, modules)
who, action = what.split(":")
hello = [{"role": "user", "content": "hello"}]


def say(text):
    if text:
        print("WORDS", text.strip(), flush=True)


if who == "openai":
    import openai
    client = openai.OpenAI(max_retries=0, timeout=30)
    if action == "ask":
        print("ANSWER", client.chat.completions.create(model="m", messages=hello).choices[0].message.content)
    else:
        for piece in client.chat.completions.create(model="m", messages=hello, stream=True):
            say(piece.choices[0].delta.content)
elif who == "groq":
    import groq
    print("ANSWER", groq.Groq(max_retries=0, timeout=30).chat.completions.create(model="m", messages=hello).choices[0].message.content)
elif who == "gemini":
    from google import genai
    client = genai.Client()
    print("ANSWER", client.models.generate_content(model="gemini-test", contents="hello").text)
else:
    import anthropic
    client = anthropic.Anthropic(max_retries=0, timeout=30)
    wish = {"model": "m", "max_tokens": 10, "messages": hello}
    if action == "ask":
        print("ANSWER", client.messages.create(**wish).content[0].text)
    else:
        with client.messages.stream(**wish) as stream:
            for text in stream.text_stream:
                say(text)
