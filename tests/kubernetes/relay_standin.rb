# frozen_string_literal: true

# Stands in for the relay's pods: takes every message and keeps it as a line of JSON in /tmp/kept.jsonl. Each message is
# answered after a moment, the longer the more often its recipient's name says so: slow.
# Usage: relay_standin.rb PORT

require "json"
require "socket"

SECONDS = 0.5
KEPT = File.open("/tmp/kept.jsonl", "a")
LOCK = Mutex.new

def keep(recipients, text)
  LOCK.synchronize do
    KEPT.puts(JSON.generate(recipients: recipients, text: text))
    KEPT.flush
  end
end

def text_of(client)
  lines = []
  while (line = client.gets)
    break if line == ".\r\n"

    lines << line.sub(/\A\.\./, ".")
  end
  lines.join.force_encoding("BINARY").encode("UTF-8", invalid: :replace, undef: :replace)
end

def serve(client)
  recipients = []
  client.write("220 relay\r\n")
  while (line = client.gets)
    case line
    when /\ARCPT TO:<(.*)>/i then recipients << Regexp.last_match(1)
    when /\ADATA/i
      client.write("354 go on\r\n")
      text = text_of(client)
      sleep(SECONDS) if recipients.any? { |address| address.start_with?("slow") }
      keep(recipients, text)
      recipients = []
    when /\AQUIT/i then return client.write("221 bye\r\n")
    end
    client.write("250 fine\r\n")
  end
rescue Errno::ECONNRESET, Errno::EPIPE
  nil
ensure
  client.close
end

server = TCPServer.new("0.0.0.0", Integer(ARGV.fetch(0)))
trap("TERM") { exit }
loop { Thread.new(server.accept) { |client| serve(client) } }
