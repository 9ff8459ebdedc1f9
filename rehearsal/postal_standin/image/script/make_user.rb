# frozen_string_literal: true

require "io/console"
require_relative "../lib/postal_standin"

# Asks for a global administrator, on a terminal or through a pipe. As in Postal the exit status is 0 even when the
# user could not be saved; only an input that ends too early is an error.
def ask(label)
  print "#{label.ljust(20)}: "
  $stdin.readline.chomp
end

def ask_secret(label)
  print "#{label.ljust(20)}: "
  $stdin.tty? ? $stdin.noecho(&:readline).chomp : $stdin.readline.chomp
end

puts "Postal User Creator"
user = User.new(
  email_address: ask("E-Mail Address"),
  first_name: ask("First Name"),
  last_name: ask("Last Name"),
  password: ask_secret("Initial Password"),
  admin: true,
  email_verified_at: Time.now
)
puts
if user.save
  puts "User has been created with e-mail address #{user.email_address}"
else
  puts "Failed to create user"
  user.errors.full_messages.each { |problem| puts " * #{problem}" }
end
