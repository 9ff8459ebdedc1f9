# frozen_string_literal: true

# Run before anything is migrated: what role `postal` asks of a host's container is asked of a pod, by the same probe.rb,
# and judged by the same rules. Ends with 1 and a sentence for each thing Postal could not work with.

require "json"
require "open3"

OLDEST_MARIADB = [10, 6].freeze
BYTES_PER_MB = 1024 * 1024
MESSAGES_IN_LOG = 10

document = JSON.parse(File.read("/config/check.json"))
out, said, status = Open3.capture3("ruby", "#{__dir__}/probe.rb", stdin_data: JSON.generate(document))
abort("a pod of the new image cannot look around: #{said.strip[-600..] || said.strip}") unless status.success?
found = JSON.parse(out.strip.lines.last)
database = document.fetch("database")
where = "#{database['host']}:#{database['port']}"
problems = []

if document["relay"] && Array(found["relay"]).empty?
  why = found["relay_error"] || "no A or AAAA record"
  problems << "the relay #{document['relay']} cannot be found by plain DNS from inside a pod (#{why})"
end

if found["database"]
  version = found["database"].fetch("version")
  numbers = version.split("-").first.split(".").first(2).map(&:to_i)
  if !version.downcase.include?("mariadb") || (numbers <=> OLDEST_MARIADB).negative?
    problems << "#{where} runs #{version}; Postal needs MariaDB 10.6 or newer, MySQL will not do"
  end
  unless found["database"]["rights"].nil?
    problems << "#{database['username']} may not make databases on #{where}: #{found['database']['rights']}. It needs " \
                "ALL on `#{database['main']}`.* and on `#{database['prefix']}-server-%`.*"
  end
  largest = document.fetch("max_message_mb") * BYTES_PER_MB
  { "max_allowed_packet" => 2 * largest, "innodb_log_file_size" => MESSAGES_IN_LOG * largest }.each do |name, least|
    value = found["database"]["variables"].fetch(name, least).to_i
    problems << "#{where} has #{name} = #{value}; messages of that size need at least #{least}" if value < least
  end
else
  problems << "no login at MariaDB on #{where}: #{found.fetch('database_error', 'no answer')}"
end

wanted = document.fetch("smtp_hostname")
unless Array(found["return_path_mx"]).include?(wanted)
  puts "warning: bounces to #{document['return_path_domain']} do not reach Postal: its MX should be #{wanted}"
end
abort(problems.join("\n")) unless problems.empty?
puts "MariaDB, its rights and the relay's name are as Postal needs them"
