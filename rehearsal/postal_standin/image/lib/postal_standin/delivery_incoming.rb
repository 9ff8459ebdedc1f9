# frozen_string_literal: true

require "mail"
require "securerandom"

module PostalStandin
  class Delivery
    # Incoming messages: bounces are linked to what they are about, the rest goes where its route says.
    class Incoming
      TOKEN = /X-Postal-MsgID:\s*([a-z0-9]+)/i.freeze

      def initialize(queued, message, transports)
        @queued = queued
        @message = message
        @transports = transports
      end

      def verdict
        (bounce_verdict if @message.bounce) || Delivery.development_hold(@queued) || route_verdict
      end

      def send_message
        endpoint = @message.route.endpoint
        case endpoint
        when ::SMTPEndpoint
          host = SmtpHost.new(hostname: endpoint.hostname, port: endpoint.port || 25, ssl_mode: endpoint.ssl_mode)
          @transports.for(recipient_domain, hosts: [host]).deliver(@message)
        when ::AddressEndpoint
          @transports.for(endpoint.address.split("@").last, recipient: endpoint.address).deliver(@message)
        end
      end

      def after(_outcome); end

      private

      def recipient_domain
        @message.rcpt_to.split("@").last
      end

      # The original is found by the X-Postal-MsgID header that the bounce quotes.
      def bounce_verdict
        originals = @queued.server.message_db.messages(where: { token: @message.raw.scan(TOKEN).flatten })
        if originals.any?
          originals.each { |original| link(original) }
          return Verdict.new("Processed", "This has been detected as a bounce message for <msg:#{originals.last.id}>.")
        end
        return if @message.route_id

        Verdict.new("HardFail", "This message was a bounce but we couldn't link it with any outgoing message and " \
                                "there was no route for it.")
      end

      def link(original)
        @message.update(bounce_for_id: original.id, domain_id: original.domain_id)
        original.add_delivery(status: "Bounced",
                              details: "We've received a bounce message for this e-mail. " \
                                       "See <msg:#{@message.id}> for details.")
      end

      def route_verdict
        route = @message.route
        unless route
          return Verdict.new("HardFail", "Message does not have a route and/or endpoint available for delivery.")
        end

        case route.mode
        when "Accept" then accepted("Processed")
        when "Hold" then accepted(@queued.manual? ? "Processed" : "Held")
        when "Bounce", "Reject" then bounced
        else endpoint_verdict(route.endpoint)
        end
      end

      def accepted(status)
        Verdict.new(status, "Message has been accepted but not sent to any endpoints.")
      end

      def endpoint_verdict(endpoint)
        case endpoint
        when ::SMTPEndpoint, ::AddressEndpoint then nil
        when ::HTTPEndpoint then Verdict.new("HardFail", "The stand-in does not deliver to HTTP endpoints.")
        else Verdict.new("HardFail", "Invalid endpoint for route.")
        end
      end

      def bounced
        details = "Message has been bounced because the route asks for this."
        details += " See message <msg:#{send_bounce.id}>" unless @message.bounce || @message.mail_from.to_s.empty?
        Verdict.new("HardFail", details)
      end

      def send_bounce
        route = @message.route
        address = "#{route.name}@#{route.domain.name}"
        @queued.server.message_db.insert(
          rcpt_to: @message.mail_from, mail_from: address, raw: bounce_mail(address).to_s, scope: "outgoing",
          domain_id: route.domain_id, bounce: true
        )
      end

      def bounce_mail(address)
        original = @message
        Mail.new do
          to original.mail_from
          from "Mail Delivery Service <#{address}>"
          subject "Mail Delivery Failed (#{original.subject})"
          message_id "<#{SecureRandom.uuid}@#{Postal::Config.dns.return_path_domain}>"
          body "The message to #{original.rcpt_to} cannot be delivered.\n\nMessage token: #{original.token}\n"
        end
      end
    end
  end
end
