# frozen_string_literal: true

require_relative "../lib/postal/config"

puts Postal.rp_dkim_dns_record
