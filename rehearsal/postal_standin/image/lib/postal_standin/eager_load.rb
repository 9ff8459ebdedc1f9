# frozen_string_literal: true

require "active_record"
require "mail"

# Required by every process with threads. These libraries load most of their parts at first use, and two threads that
# begin with different parts of `mail` at the same time wait for each other for ever.
Mail.eager_autoload!
ActiveRecord.eager_load!
