# frozen_string_literal: true

require "postal_standin/health_metrics"

module PostalStandin
  class SMTPServer
    METRICS = Metrics.new(
      postal_smtp_server_connections_total: ["counter", "Connections accepted"],
      postal_smtp_server_tls_connections_total: ["counter", "TLS sessions established"],
      postal_smtp_server_exceptions_total: ["counter", "Exceptions by type and error"],
      postal_smtp_server_commands_total: ["counter", "Commands by name"],
      postal_smtp_server_client_errors: ["counter", "Refusals by reason"],
      postal_smtp_server_messages_total: ["counter", "Messages accepted, by type and TLS"]
    )
  end
end
