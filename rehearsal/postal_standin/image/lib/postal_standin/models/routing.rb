# frozen_string_literal: true

# What the three kinds of endpoint share: a route that loses its endpoint rejects mail from then on.
module IsEndpoint
  def self.included(model)
    model.include(HasUUID)
    model.belongs_to(:server)
    model.has_many(:routes, as: :endpoint)
    model.has_many(:additional_route_endpoints, as: :endpoint, dependent: :destroy)
    model.before_destroy { routes.each { |route| route.update(endpoint: nil, mode: "Reject") } }
  end

  def mark_as_used
    update_column(:last_used_at, Time.now)
  end
end

class HTTPEndpoint < ApplicationRecord
  ENCODINGS = %w[BodyAsJSON FormData].freeze
  FORMATS = %w[Hash RawMessage].freeze
  TIMEOUTS = (5..60).freeze # seconds

  include IsEndpoint

  default_value :timeout, -> { TIMEOUTS.first }

  validates :name, :url, presence: true
  validates :encoding, inclusion: { in: ENCODINGS }
  validates :format, inclusion: { in: FORMATS }
  validates :timeout,
            numericality: { greater_than_or_equal_to: TIMEOUTS.first, less_than_or_equal_to: TIMEOUTS.last }

  def description
    "#{name} (#{url})"
  end
end

class SMTPEndpoint < ApplicationRecord
  # Here the mandatory mode is spelt correctly; in postal.smtp_relays it is not.
  SSL_MODES = %w[None Auto STARTTLS TLS].freeze

  include IsEndpoint

  validates :name, :hostname, presence: true
  validates :hostname, format: /\A[a-z0-9.-]*\z/
  validates :ssl_mode, inclusion: { in: SSL_MODES }
  validates :port, numericality: { only_integer: true, allow_blank: true }

  def description
    "#{name} (#{hostname})"
  end
end

class AddressEndpoint < ApplicationRecord
  include IsEndpoint

  validates :address,
            presence: true,
            format: { with: /@/ },
            uniqueness: { scope: :server_id, message: "has already been added", case_sensitive: false }

  def description
    address
  end

  def domain
    address.split("@", 2).last
  end
end

class AdditionalRouteEndpoint < ApplicationRecord
  belongs_to :route
  belongs_to :endpoint, polymorphic: true

  validate { errors.add(:endpoint, :invalid) if endpoint && endpoint.server != route.server }
  validate { errors.add(:base, "You can only add an endpoint to a route once") if endpoint == route.endpoint }
  validate :wildcard_goes_to_http

  # "HTTPEndpoint#<uuid>", the form in which routes name their endpoints.
  def _endpoint
    "#{endpoint_type}##{endpoint.uuid}"
  end

  private

  def wildcard_goes_to_http
    return unless route.wildcard? && endpoint_type != "HTTPEndpoint"

    errors.add(:base, "SMTP or address endpoints are not permitted on wildcard routes")
  end
end

# Where mail to an address of a domain goes.
class Route < ApplicationRecord
  MODES = %w[Endpoint Accept Hold Bounce Reject].freeze
  SPAM_MODES = %w[Mark Quarantine Fail].freeze
  ENDPOINTS = [HTTPEndpoint, SMTPEndpoint, AddressEndpoint].to_h { |model| [model.name, model] }.freeze
  RETURN_PATH = "__returnpath__"
  WILDCARD = "*"
  TOKEN_LENGTH = 8

  include HasUUID

  belongs_to :server
  belongs_to :domain, optional: true
  belongs_to :endpoint, polymorphic: true, optional: true
  has_many :additional_route_endpoints, dependent: :destroy

  random_value :token, -> { SecureRandom.alphanumeric(TOKEN_LENGTH) }

  validates :name, presence: true, format: /\A([a-z0-9\-.]*|\*|__returnpath__)\z/
  validates :spam_mode, inclusion: { in: SPAM_MODES }
  validates :endpoint, presence: { if: -> { mode == "Endpoint" } }
  validates :domain_id, presence: { unless: :return_path? }
  validate { errors.add(:endpoint, "must be chosen") if mode.nil? }
  validate { errors.add(:endpoint, :invalid) if endpoint && endpoint.server != server }
  validate :domain_is_usable
  validate :name_is_free
  validate :return_path_goes_to_http
  validate :only_endpoint_routes_have_more

  after_save :store_additional_endpoints

  # The route for name@domain, or the domain's wildcard route.
  def self.find_by_name_and_domain(name, domain)
    routes = includes(:domain).where(domains: { name: domain })
    routes.find_by(name: name) || routes.find_by(name: WILDCARD)
  end

  def return_path?
    name == RETURN_PATH
  end

  def wildcard?
    name == WILDCARD
  end

  def description
    return_path? ? "Return Path" : "#{name}@#{domain.name}"
  end

  # Further endpoints as ["HTTPEndpoint#<uuid>", ...]; an assigned list takes effect with the next save.
  def additional_route_endpoints_array
    @additional_route_endpoints_array ||= additional_route_endpoints.map(&:_endpoint)
  end

  def additional_route_endpoints_array=(references)
    @additional_route_endpoints_array = references.reject(&:blank?)
  end

  def forward_address
    "#{token}@#{Postal::Config.dns.route_domain}"
  end

  private

  def domain_is_usable
    return unless domain

    errors.add(:domain, :invalid) if [server, server&.organization].exclude?(domain.owner)
    errors.add(:domain, "has not been verified yet") unless domain.verified?
  end

  # One route for a name of a domain in the whole installation, whichever server it is on.
  def name_is_free
    return if server.nil?

    others = Route.where.not(id: id)
    if domain
      taken = others.joins(:domain).find_by(domains: { name: domain.name }, name: name)
      errors.add(:name, "is configured on the #{taken.server.full_permalink} mail server") if taken
    elsif others.exists?(name: RETURN_PATH)
      errors.add(:base, "A return path route already exists for this server")
    end
  end

  def return_path_goes_to_http
    return unless return_path? && !(mode == "Endpoint" && endpoint_type == "HTTPEndpoint")

    errors.add(:base, "Return path routes must point to an HTTP endpoint")
  end

  def only_endpoint_routes_have_more
    return if mode == "Endpoint" || additional_route_endpoints_array.empty?

    errors.add(:base, "Additional routes are not permitted unless the primary route is an actual endpoint")
  end

  def store_additional_endpoints
    return if @additional_route_endpoints_array.nil?

    wanted = @additional_route_endpoints_array.map { |reference| endpoint_named(reference) }
    kept = wanted.map do |target|
      additional_route_endpoints.find_by(endpoint: target) || additional_route_endpoints.create!(endpoint: target)
    end
    additional_route_endpoints.where.not(id: kept.map(&:id)).destroy_all
  end

  def endpoint_named(reference)
    kind, uuid = reference.split("#", 2)
    model = ENDPOINTS[kind]
    raise Postal::Error, "Invalid endpoint class name '#{kind}'" unless model

    model.find_by(uuid: uuid)
  end
end
