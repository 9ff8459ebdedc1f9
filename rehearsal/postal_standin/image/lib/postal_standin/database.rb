# frozen_string_literal: true

# What Rails would set; models read some of it while they are defined.
Time.zone_default = Time.find_zone!("UTC")
ActiveRecord::Base.default_timezone = :utc
ActiveRecord::Base.time_zone_aware_attributes = true
ActiveRecord::Base.belongs_to_required_by_default = true

module PostalStandin
  # The connection to the main database.
  module Database
    module_function

    def connect
      ActiveRecord::Base.establish_connection(settings)
    end

    # Enough connections for `threads` threads; the worker asks for its own number, as in Postal.
    def resize_pool(threads)
      ActiveRecord::Base.establish_connection(settings.merge(pool: threads))
    end

    # `CREATE DATABASE` for the main database. Returns false when it is there already.
    def create
      name = settings[:database]
      ActiveRecord::Base.establish_connection(settings.merge(database: nil))
      ActiveRecord::Base.connection.create_database(name, charset: settings[:encoding])
      true
    rescue ActiveRecord::DatabaseAlreadyExists
      false
    ensure
      ActiveRecord::Base.establish_connection(settings)
    end

    def settings
      group = Postal::Config.main_db
      {
        adapter: "mysql2",
        host: group.host,
        port: group.port,
        username: group.username,
        password: group.password,
        database: group.database,
        encoding: group.encoding,
        pool: group.pool_size,
        reconnect: true
      }
    end
  end
end
