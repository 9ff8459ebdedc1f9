# frozen_string_literal: true

require_relative "../lib/postal/config"

puts Postal.version
