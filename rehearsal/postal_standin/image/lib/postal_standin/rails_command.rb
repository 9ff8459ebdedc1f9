# frozen_string_literal: true

require "postal_standin/tasks"

module PostalStandin
  # `rails runner CODE|FILE|- [ARGUMENTS]` and the database tasks. Anything else fails.
  module RailsCommand
    module_function

    def run(arguments)
      name, *rest = arguments
      case name
      when "runner", "r" then runner(rest)
      when /:/ then Tasks.run(arguments, program: "rails")
      else
        warn("Unrecognized command #{name.to_s.inspect} (the stand-in has `runner` and a few database tasks)")
        exit(1)
      end
    end

    # Runs with the models loaded; the script sees its own arguments in ARGV. With "-" the script is all of stdin,
    # so it cannot read stdin itself; with a file it can.
    def runner(arguments)
      script, *own = without_environment(arguments)
      if script.nil?
        warn("Usage: rails runner [-e ENVIRONMENT] CODE|FILE|- [ARGUMENTS]")
        exit(1)
      end
      ARGV.replace(own)
      execute(script)
    end

    def without_environment(arguments)
      case arguments.first
      when "-e", "--environment" then arguments.drop(2)
      when /\A--environment=/ then arguments.drop(1)
      else arguments
      end
    end

    def execute(script)
      if script == "-"
        eval($stdin.read, TOPLEVEL_BINDING, "stdin")
      elsif File.exist?(script)
        $0 = script
        Kernel.load(script)
      else
        eval(script, TOPLEVEL_BINDING, "runner")
      end
    end
  end
end
