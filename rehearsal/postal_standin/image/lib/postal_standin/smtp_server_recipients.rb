# frozen_string_literal: true

module PostalStandin
  class SMTPServer
    # One accepted recipient: kind is :bounce (return path), :route (incoming) or :credential (outgoing).
    Recipient = Struct.new(:kind, :address, :server, :route, keyword_init: true)

    # Decides about one RCPT TO. The order is Postal's: return paths, route tokens, authenticated senders, routes,
    # senders known by address (SMTP-IP credentials), refusal.
    class Recipients
      def initialize(session)
        @session = session
      end

      # [reply, true when the recipient was looked at and DATA may follow]
      def add(address)
        local, domain = address.split("@", 2)
        return [@session.refuse("empty-rcpt-to", "501 RCPT TO should not be empty"), false] if address.empty?
        return [@session.refuse("invalid-rcpt-to", "501 Invalid RCPT TO"), false] if domain.to_s.empty?

        name, tag = local.split("+", 2)
        if return_path?(domain) then [add_bounce(address, name), true]
        elsif domain == Postal::Config.dns.route_domain then [add_by_route_token(name, tag), true]
        else add_by_sender_or_route(address, name, domain)
        end
      end

      private

      def return_path?(domain)
        domain == Postal::Config.dns.return_path_domain ||
          domain.start_with?("#{Postal::Config.dns.custom_return_path_prefix}.")
      end

      def add_bounce(address, token)
        server = ::Server.find_by(token: token)
        return @session.refuse("invalid-server-token", "550 Invalid server token") unless server

        accept(:bounce, address, server)
      end

      def add_by_route_token(token, tag)
        route = ::Route.find_by(token: token)
        return "550 Invalid route token" unless route

        add_route(route, "#{route.name}#{"+#{tag}" if tag}@#{route.domain.name}")
      end

      def add_by_sender_or_route(address, name, domain)
        credential = @session.credential
        return [accept(:credential, address, credential.server), true] if credential

        route = ::Route.find_by_name_and_domain(name, domain)
        return [add_route(route, address), true] if route

        add_by_client_address(address)
      end

      def add_route(route, address)
        return suspended if route.server.suspended?

        if route.mode == "Reject"
          return @session.refuse("route-rejection", "550 Route does not accept incoming messages")
        end

        accept(:route, address, route.server, route)
      end

      def add_by_client_address(address)
        @session.credential = credential_by_address
        unless @session.credential
          Postal.logger.warn("Authentication failure for #{@session.address}")
          return [@session.refuse("authentication-required", "530 Authentication required"), false]
        end

        @session.credential.use
        [accept(:credential, address, @session.credential.server), true]
      end

      # Credentials of type SMTP-IP: the key is an address or a network; the narrowest match wins.
      def credential_by_address
        client = IPAddr.new(@session.address)
        Credential.where(type: "SMTP-IP").select { |credential| credential.ipaddr&.include?(client) }
                  .max_by { |credential| credential.ipaddr.prefix }
      end

      def accept(kind, address, server, route = nil)
        return suspended if server.suspended?

        @session.recipients << Recipient.new(kind: kind, address: address, server: server, route: route)
        "250 OK"
      end

      def suspended
        @session.refuse("server-suspended", "535 Mail server has been suspended")
      end
    end
  end
end
