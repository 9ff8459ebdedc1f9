# frozen_string_literal: true

require "openssl"
require "securerandom"

module PostalStandin
  class SMTPServer
    # AUTH PLAIN, LOGIN and CRAM-MD5. Only the credential's key counts: the user name of PLAIN and LOGIN may be
    # anything, that of CRAM-MD5 is organization/server.
    class Auth
      USERNAME_PROMPT = "334 VXNlcm5hbWU6"
      PASSWORD_PROMPT = "334 UGFzc3dvcmQ6"

      def initialize(session)
        @session = session
      end

      def start(mechanism, argument)
        case mechanism
        when "PLAIN" then plain(argument)
        when "LOGIN" then login(argument)
        else cram_md5
        end
      end

      private

      def plain(argument)
        return check_plain(argument) unless argument.empty?

        @session.expect_line { |line| check_plain(line) }
        "334"
      end

      def check_plain(text)
        user, password = decoded(text).split("\0").last(2)
        return check_key(password) if user && password

        @session.refuse("missing-credentials", "535 Authenticated failed - protocol error")
      end

      def login(argument)
        return ask_password unless argument.empty?

        @session.expect_line { ask_password }
        USERNAME_PROMPT
      end

      def ask_password
        @session.expect_line { |line| check_key(decoded(line)) }
        PASSWORD_PROMPT
      end

      def decoded(text)
        text.unpack1("m").force_encoding("UTF-8").scrub
      end

      def check_key(key)
        credential = Credential.find_by(type: "SMTP", key: key)
        credential ? grant(credential) : deny("535 Invalid credential")
      end

      def cram_md5
        challenge = "<#{SecureRandom.hex(10)}@#{Postal::Config.postal.smtp_hostname}>"
        @session.expect_line { |line| check_cram_md5(challenge, decoded(line)) }
        "334 #{[challenge].pack('m0')}"
      end

      def check_cram_md5(challenge, response)
        user, digest = response.split(" ", 2).map(&:chomp)
        credential = credentials_of(user.to_s).find do |candidate|
          OpenSSL::HMAC.hexdigest("MD5", candidate.key, challenge) == digest
        end
        credential ? grant(credential) : deny("535 Denied")
      end

      def credentials_of(user)
        organization, server = user.split(%r{[/_]}, 2)
        found = ::Server.joins(:organization).find_by(organizations: { permalink: organization }, permalink: server)
        found ? found.credentials.where(type: "SMTP").to_a : []
      end

      def grant(credential)
        credential.use
        @session.credential = credential
        "235 Granted for #{credential.server.organization.permalink}/#{credential.server.permalink}"
      end

      def deny(reply)
        Postal.logger.warn("Authentication failure for #{@session.address}")
        @session.refuse("invalid-credentials", reply)
      end
    end
  end
end
