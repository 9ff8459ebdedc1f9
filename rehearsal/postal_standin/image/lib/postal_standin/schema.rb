# frozen_string_literal: true

require "postal_standin/tables"

module PostalStandin
  # Loads and migrates the main database. Which migrations exist depends on the VERSION of the image, so that an
  # upgrade from 3.3.7 to 3.3.8 has something to do and one to a "-broken" version fails in the middle.
  class Schema
    Migration = Struct.new(:version, :name, :steps, keyword_init: true)

    # The newest migration of Postal 3.3.4 to 3.3.6 carries this number.
    BASE = Migration.new(version: 20_240_311_205_229, name: "Postal 3.3 schema", steps: [])

    NEXT_RELEASE = Gem::Version.new("3.3.8")
    NEXT = Migration.new(
      version: 20_260_801_000_000,
      name: "StandinReleaseMarks",
      steps: [
        "CREATE TABLE IF NOT EXISTS standin_release_marks (id int PRIMARY KEY AUTO_INCREMENT, version varchar(40))",
        "ALTER TABLE queued_messages ADD COLUMN standin_mark varchar(20)"
      ]
    )

    # MySQL and MariaDB cannot roll back DDL: after the first step the old release does not work either (the
    # credentials' column has another name) until the dump is put back.
    BROKEN = Migration.new(
      version: 20_260_901_000_000,
      name: "StandinBrokenRelease",
      steps: [
        "ALTER TABLE credentials RENAME COLUMN `key` TO secret_key",
        "ALTER TABLE standin_table_that_never_was ADD COLUMN broken int"
      ]
    )

    def initialize(release = Postal.version)
      @release = release
    end

    # The migrations this image knows, oldest first.
    def migrations
      number = Gem::Version.new(@release[/\A\d+(\.\d+)*/] || "0")
      [BASE, (NEXT if number >= NEXT_RELEASE), (BROKEN if @release.end_with?("-broken"))].compact
    end

    def loaded?
      connection.table_exists?("schema_migrations") && applied.any?
    end

    def pending
      done = applied
      migrations.reject { |migration| done.include?(migration.version) }
    end

    # Makes every table anew: rows of an older, half-made attempt are dropped, as `db:schema:load` does.
    def load
      connection.drop_table(:schema_migrations, if_exists: true)
      TABLES.each { |table, columns| create_table(table, columns) }
      INDEXES.each { |table, column, unique| connection.add_index(table, column, unique: !!unique) }
      create_bookkeeping
      known = migrations - [BROKEN]
      known.each { |migration| apply(migration) }
      known.each { |migration| mark(migration) }
    end

    def migrate
      pending.each do |migration|
        puts "== #{migration.version} #{migration.name}: migrating"
        apply(migration)
        mark(migration)
        puts "== #{migration.version} #{migration.name}: migrated"
      end
    end

    private

    def apply(migration)
      migration.steps.each { |statement| connection.execute(statement) }
    end

    def mark(migration)
      connection.execute("INSERT INTO schema_migrations (version) VALUES ('#{migration.version}')")
    end

    def applied
      return [] unless connection.table_exists?("schema_migrations")

      connection.select_values("SELECT version FROM schema_migrations").map(&:to_i)
    end

    def create_table(table, columns)
      connection.create_table(table, id: :integer, force: :cascade, charset: "utf8mb4") do |definition|
        columns.each do |name, type|
          kind, options = type
          options = { precision: 6 } if kind == :datetime
          definition.column(name, kind, **(options || {}))
        end
      end
    end

    def create_bookkeeping
      connection.create_table(:schema_migrations, id: false, force: true) do |definition|
        definition.string :version, null: false, primary_key: true
      end
      connection.create_table(:ar_internal_metadata, id: false, force: true) do |definition|
        definition.string :key, null: false, primary_key: true
        definition.string :value
        definition.datetime :created_at, null: false
        definition.datetime :updated_at, null: false
      end
      connection.execute("INSERT INTO ar_internal_metadata VALUES ('environment', 'production', NOW(), NOW())")
    end

    def connection
      ActiveRecord::Base.connection
    end
  end
end
