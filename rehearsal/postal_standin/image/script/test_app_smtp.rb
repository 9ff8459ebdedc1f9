# frozen_string_literal: true

require "net/smtp"
require "timeout"

address = ARGV.first
unless address&.include?("@")
  puts "usage: postal test-app-smtp [email address]"
  exit 1
end

require_relative "../lib/postal_standin"

TIME_LIMIT = 10 # seconds

# Sends one message through the `smtp` group. As in Postal a failure ends with status 0 and prints the password.
def send_test_message(settings, address)
  client = Net::SMTP.new(settings.host, settings.port)
  # Postal's mail library takes a configured `enable_starttls: false` to mean "never", whatever the server offers.
  settings.enable_starttls? ? client.enable_starttls : client.disable_starttls
  login = settings.username ? [settings.username, settings.password, settings.authentication_type.to_sym] : []
  text = "From: #{settings.from_name} <#{settings.from_address}>\r\nTo: <#{address}>\r\n" \
         "Subject: Postal SMTP Test Message\r\n\r\nThis is a test message.\r\n"
  client.start(Postal::Config.postal.smtp_hostname, *login) do |session|
    session.send_message(text, settings.from_address, address)
  end
end

settings = Postal::Config.smtp
begin
  Timeout.timeout(TIME_LIMIT) { send_test_message(settings, address) }
  puts "Message has been sent successfully."
rescue Timeout::Error
  puts "Sending timed out"
rescue StandardError => error
  puts "Message was not delivered successfully to SMTP server."
  puts "Error: #{error.class} (#{error.message})"
  puts "  SMTP Host: #{settings.host}"
  puts "  SMTP Port: #{settings.port}"
  puts "  SMTP Username: #{settings.username}"
  puts "  SMTP Password: #{settings.password}"
end
