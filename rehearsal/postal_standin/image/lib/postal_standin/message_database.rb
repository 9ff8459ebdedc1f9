# frozen_string_literal: true

module PostalStandin
  # SQL on one message database, over connections shared by all threads. Values are escaped; names are ours.
  class MessageDatabase
    class NoSuchTable < StandardError; end

    ERROR_DATABASE_EXISTS = 1007
    ERROR_NO_DATABASE_TO_DROP = 1008
    ERROR_TABLE_EXISTS = 1050
    ERROR_NO_SUCH_TABLE = 1146
    CONNECTION_LOST = /lost connection|gone away|not connected/i.freeze

    @idle = []
    @lock = Mutex.new

    class << self
      # Yields a connection. A connection the server has closed is replaced once.
      def with_connection
        connection = checkout
        begin
          result = yield connection
        rescue Mysql2::Error => error
          raise unless error.message.match?(CONNECTION_LOST)

          connection = connect
          result = yield connection
        end
        result
      ensure
        @lock.synchronize { @idle.push(connection) } if connection
      end

      private

      def checkout
        @lock.synchronize { @idle.pop } || connect
      end

      def connect
        group = Postal::Config.message_db
        Mysql2::Client.new(
          host: group.host, port: group.port, username: group.username, password: group.password,
          encoding: group.encoding, cast_booleans: true, database_timezone: :utc
        )
      end
    end

    def initialize(name)
      @name = name
    end

    def table(name)
      "`#{@name}`.`#{name}`"
    end

    # --- definition

    def create
      execute("CREATE DATABASE `#{@name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    rescue Mysql2::Error => error
      raise unless error.error_number == ERROR_DATABASE_EXISTS
    end

    def drop
      execute("DROP DATABASE `#{@name}`")
    rescue Mysql2::Error => error
      raise unless error.error_number == ERROR_NO_DATABASE_TO_DROP
    end

    def exists?
      execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = #{quote(@name)}").any?
    end

    # false: another process was faster.
    def create_table(name, columns)
      execute("CREATE TABLE #{table(name)} (#{columns}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC")
      true
    rescue Mysql2::Error => error
      raise unless error.error_number == ERROR_TABLE_EXISTS

      false
    end

    # --- rows

    def select(name, where: {}, order: nil, limit: nil)
      sql = +"SELECT * FROM #{table(name)}#{conditions(where)}"
      sql << " ORDER BY #{order}" if order
      sql << " LIMIT #{Integer(limit)}" if limit
      execute(sql).to_a
    end

    def count(name, where = {})
      execute("SELECT COUNT(*) AS number FROM #{table(name)}#{conditions(where)}").first["number"]
    end

    # Returns the number of the new row.
    def insert(name, columns)
      names = columns.keys.map { |column| "`#{column}`" }.join(", ")
      values = columns.values.map { |value| quote(value).b }.join(", ".b)
      run("INSERT INTO #{table(name)} (#{names}) VALUES (".b + values + ")".b) { |connection| connection.last_id }
    end

    # Both return the number of rows touched.
    def update(name, columns, where)
      pairs = columns.map { |column, value| "`#{column}` = ".b + quote(value).b }.join(", ".b)
      run("UPDATE #{table(name)} SET ".b + pairs + conditions(where).b) { |connection| connection.affected_rows }
    end

    def delete(name, where)
      run("DELETE FROM #{table(name)}#{conditions(where)}") { |connection| connection.affected_rows }
    end

    def execute(sql)
      run(sql) { |_connection, result| result }
    end

    private

    def run(sql)
      MessageDatabase.with_connection do |connection|
        result = connection.query(sql)
        yield connection, result
      end
    rescue Mysql2::Error => error
      raise NoSuchTable, error.message if error.error_number == ERROR_NO_SUCH_TABLE

      raise
    end

    def conditions(where)
      return "" if where.empty?

      " WHERE " + where.map { |column, value| "`#{column}` #{comparison(value)}" }.join(" AND ")
    end

    def comparison(value)
      case value
      when nil then "IS NULL"
      when Array then value.empty? ? "IN (NULL)" : "IN (#{value.map { |item| quote(item) }.join(', ')})"
      else "= #{quote(value)}"
      end
    end

    def quote(value)
      case value
      when nil then "NULL"
      when true then "1"
      when false then "0"
      when Numeric then value.to_s
      else "'#{Mysql2::Client.escape(value.to_s)}'"
      end
    end
  end
end
