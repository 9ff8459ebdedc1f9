# frozen_string_literal: true

# Class names as in Postal; the names of tables and associations follow from them.
ActiveSupport::Inflector.inflections(:en) do |inflect|
  %w[HTTP SMTP IP DNS].each { |word| inflect.acronym(word) }
end

class ApplicationRecord < ActiveRecord::Base
  self.abstract_class = true
  # `type` is an ordinary column (credentials.type).
  self.inheritance_column = "sti_type"

  before_validation :turn_blank_text_into_null

  class << self
    # A value for an attribute that is empty, on creation and on every later change.
    def default_value(name, maker)
      before_validation { self[name] = instance_exec(&maker) if self[name].nil? || self[name] == "" }
    end

    # A random value no other row has, for an attribute that is empty. One that was passed in is kept.
    def random_value(name, maker)
      before_validation do
        self[name] = maker.call while self[name].blank? || (new_record? && self.class.exists?(name => self[name]))
      end
    end
  end

  private

  def turn_blank_text_into_null
    attributes.each { |name, value| self[name] = nil if value.is_a?(String) && value.blank? }
  end
end

# Random texts in the shapes Postal uses.
module RandomText
  UPPER_CASE = [*"A".."Z"].freeze
  LETTERS = [*UPPER_CASE, *"a".."z"].freeze

  module_function

  # Letters at both ends in either case, capitals between them: "kQRWXb".
  def identifier(length)
    ends = Array.new(2) { pick(LETTERS) }
    [ends.first, *Array.new(length - 2) { pick(UPPER_CASE) }, ends.last].join
  end

  def pick(list)
    list.sample(random: SecureRandom)
  end
end

module HasUUID
  def self.included(model)
    model.random_value(:uuid, -> { SecureRandom.uuid })
  end

  def to_param
    uuid
  end
end

# Deletion only marks a row; the worker purges it later. `present` hides marked rows, `find_by` alone does not.
module HasSoftDestroy
  def self.included(model)
    model.scope(:present, -> { where(deleted_at: nil) })
    model.scope(:deleted, -> { where.not(deleted_at: nil) })
  end

  def soft_destroy
    update!(deleted_at: Time.now)
  end
end

# Queue rows are locked by an UPDATE of locked_by and locked_at; whoever's name is in the row owns it.
module HasLocking
  FIRST_RETRY = 5.minutes
  RETRY_GROWTH = 1.3

  def self.included(model)
    model.scope(:unlocked, -> { where(locked_at: nil) })
    model.scope(:ready, -> { where("retry_after IS NULL OR retry_after < ?", Time.now) })
  end

  def ready?
    retry_after.nil? || retry_after < Time.now
  end

  def locked?
    locked_at.present?
  end

  def unlock
    update_columns(locked_by: nil, locked_at: nil)
  end

  # Back into the queue, for `delay` seconds or, without it, 5 minutes x 1.3^attempts.
  def retry_later(delay = nil)
    delay ||= FIRST_RETRY * (RETRY_GROWTH**attempts)
    update_columns(locked_by: nil, locked_at: nil, retry_after: Time.now + delay, attempts: attempts + 1)
  end
end
