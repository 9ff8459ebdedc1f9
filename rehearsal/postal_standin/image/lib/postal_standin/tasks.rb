# frozen_string_literal: true

require "postal_standin"
require "postal_standin/schema"

module PostalStandin
  # The database tasks of `rake` and `rails`: the ones Postal's own commands use and the check for waiting
  # migrations. Tasks run in the order given and the first failure ends the run with status 1.
  module Tasks
    class Failed < StandardError; end

    module_function

    def run(names, program:)
      fail_with("#{program} aborted!\nThe stand-in runs no default task.") if names.empty?
      names.each { |name| run_one(name, program) }
    rescue Failed => error
      fail_with(error.message)
    rescue ActiveRecord::ActiveRecordError, Mysql2::Error => error
      fail_with("#{program} aborted!\n#{error.class}: #{error.message}")
    end

    def run_one(name, program)
      case name
      when "db:create" then create
      when "db:migrate" then migrate
      when "db:abort_if_pending_migrations" then abort_if_pending
      when "postal:update" then update
      else raise Failed, "#{program} aborted!\nDon't know how to build task '#{name}' (the stand-in has few tasks)"
      end
    end

    def fail_with(text)
      warn(text)
      exit(1)
    end

    def create
      name = Postal::Config.main_db.database
      Database.create ? puts("Created database '#{name}'") : warn("Database '#{name}' already exists")
    end

    # Loads the schema into an empty database, migrates one that has any migration recorded: safe to run again.
    def update
      if Schema.new.loaded?
        puts "Database schema is already loaded. Running migrations with db:migrate"
        migrate
      else
        puts "No schema migrations exist. Loading schema with db:schema:load"
        Schema.new.load
      end
    end

    def migrate
      Schema.new.migrate
      Server.find_each do |server|
        puts "Running migrations for #{server.full_permalink} (ID: #{server.id})"
        puts "Nothing to do"
      end
    end

    def abort_if_pending
      waiting = Schema.new.pending
      return if waiting.empty?

      lines = waiting.map { |migration| format("  %<version>4d %<name>s", **migration.to_h.slice(:version, :name)) }
      raise Failed, "You have #{waiting.size} pending migrations:\n#{lines.join("\n")}\nRun `postal update` to resolve."
    end
  end
end
