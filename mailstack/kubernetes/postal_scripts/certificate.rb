# frozen_string_literal: true

# Tells whether the SMTP server of this pod works and shows the certificate that is in FILE now. Postal reads it once, at
# its start: after a renewal this fails, and the pod's server is started again.
# Usage: certificate.rb FILE PORT

require "openssl"
require "socket"

SECONDS = 15

def reply(connection)
  line = connection.gets.to_s
  line = connection.gets.to_s while line[3] == "-"
  line
end

def served(port)
  Socket.tcp("127.0.0.1", port, connect_timeout: SECONDS) do |connection|
    abort("no greeting") unless reply(connection).start_with?("220")
    connection.write("EHLO localhost\r\n")
    reply(connection)
    connection.write("STARTTLS\r\n")
    abort("no STARTTLS") unless reply(connection).start_with?("220")
    # Which certificate it is, is the question; so any is taken.
    context = OpenSSL::SSL::SSLContext.new
    context.verify_mode = OpenSSL::SSL::VERIFY_NONE
    secure = OpenSSL::SSL::SSLSocket.new(connection, context)
    secure.connect
    secure.peer_cert.to_der
  end
end

file, port = ARGV
wanted = OpenSSL::X509::Certificate.new(File.read(file)).to_der
abort("another certificate than #{file} is served") unless served(Integer(port)) == wanted
