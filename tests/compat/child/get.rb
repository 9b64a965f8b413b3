# get.rb URL: one GET with Net::HTTP, with nothing but the environment. What fails is printed as Ruby prints it.
require 'net/http'

answer = Net::HTTP.get_response(URI(ARGV[0]))
answer.value
puts answer.body
