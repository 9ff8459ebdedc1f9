# frozen_string_literal: true

# Events reported to an application by HTTP. The stand-in records the requests and sends none.
class Webhook < ApplicationRecord
  include HasUUID

  belongs_to :server
  has_many :webhook_events, dependent: :destroy
  has_many :webhook_requests

  validates :name, :url, presence: true
  validates :url, format: { with: %r{\Ahttps?://[a-z0-9\-._?=&/+:%@]+\z}i, allow_blank: true }

  scope :enabled, -> { where(enabled: true) }

  after_save :store_events

  def events
    @events ||= webhook_events.map(&:event)
  end

  def events=(names)
    @events = names.map(&:to_s).reject(&:blank?)
  end

  private

  def store_events
    wanted = all_events ? [] : @events
    return if wanted.nil?

    webhook_events.where.not(event: wanted).destroy_all
    wanted.each { |name| webhook_events.find_or_create_by!(event: name) }
  end
end

class WebhookEvent < ApplicationRecord
  EVENTS = %w[
    MessageSent MessageDelayed MessageDeliveryFailed MessageHeld MessageBounced MessageLinkClicked MessageLoaded
    DomainDNSError
  ].freeze

  belongs_to :webhook

  validates :event, presence: true
end

class WebhookRequest < ApplicationRecord
  include HasUUID
  include HasLocking

  belongs_to :server
  belongs_to :webhook, optional: true

  serialize :payload, Hash

  validates :url, :event, presence: true

  # Queues one request for every webhook of the server that wants the event.
  def self.trigger(server, event, payload = {})
    server.webhooks.enabled.select { |hook| hook.all_events || hook.events.include?(event) }.each do |hook|
      server.webhook_requests.create!(webhook: hook, url: hook.url, event: event, payload: payload)
    end
  end
end
