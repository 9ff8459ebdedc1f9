# frozen_string_literal: true

require "openssl"

module PostalStandin
  # DKIM-Signature header of one message: rsa-sha256, relaxed/relaxed (RFC 6376).
  #
  #   Dkim.for(domain, raw).header   -> "DKIM-Signature: v=1; a=rsa-sha256; ..." (folded, no final line end)
  class Dkim
    # The header fields Postal signs when a message has them.
    SIGNED_FIELDS = %w[
      from sender reply-to subject date message-id to cc mime-version content-type content-transfer-encoding
      resent-to resent-cc resent-from resent-sender resent-message-id in-reply-to references
      list-id list-help list-owner list-unsubscribe list-unsubscribe-post list-subscribe list-post
    ].freeze
    FOLD_AT = 72 # characters of base64 a line

    # The domain's own key only once its DKIM record was found in the DNS; until then the installation's key with
    # d=<return path domain>, as Postal does: such a signature is valid but not aligned with the From header.
    def self.for(domain, raw)
      if domain&.dkim_status == "OK"
        new(raw, domain: domain.name, selector: domain.dkim_identifier, key: domain.dkim_key)
      else
        new(raw, domain: Postal::Config.dns.return_path_domain, selector: Postal::Config.dns.dkim_identifier,
                 key: Postal.signing_key)
      end
    end

    def initialize(raw, domain:, selector:, key:, time: Time.now)
      head, body = raw.b.gsub(/\r?\n/, "\r\n").split("\r\n\r\n", 2)
      @fields = fields_of(head.to_s)
      @body = body.to_s
      @domain = domain
      @selector = selector
      @key = key
      @time = time
    end

    def header
      "#{unsigned_header}#{signature.scan(/.{1,#{FOLD_AT}}/o).join("\r\n\t")}"
    end

    private

    # Unfolded [name, value] pairs in the order of the message, only the ones to be signed.
    def fields_of(head)
      head.gsub(/\r\n([ \t])/, '\1').split("\r\n")
          .map { |line| line.split(":", 2) }
          .select { |name, value| value && SIGNED_FIELDS.include?(name.strip.downcase) }
          .map { |name, value| [name.strip.downcase, relaxed_value(value)] }
          .reverse # RFC 6376 5.4.2: of fields with one name the last is signed first
    end

    def relaxed_value(value)
      value.gsub(/[ \t\r\n]+/, " ").strip
    end

    # RFC 6376 3.4.4
    def relaxed_body
      lines = @body.gsub(/[ \t]+/, " ").gsub(/ \r\n/, "\r\n").sub(/ \z/, "").sub(/(\r\n)+\z/, "")
      lines.empty? ? "" : "#{lines}\r\n"
    end

    def body_hash
      @body_hash ||= [OpenSSL::Digest.digest("SHA256", relaxed_body)].pack("m0")
    end

    def unsigned_header
      @unsigned_header ||= [
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;",
        "d=#{@domain};",
        "s=#{@selector}; t=#{@time.to_i};",
        "bh=#{body_hash};",
        "h=#{@fields.map(&:first).join(':')};",
        "b="
      ].join("\r\n\t")
    end

    # The signature covers its own header with an empty b= and no line end (RFC 6376 3.7).
    def signature
      own_value = relaxed_value(unsigned_header.split(":", 2).last)
      signed = [*@fields, ["dkim-signature", own_value]].map { |name, value| "#{name}:#{value}" }.join("\r\n")
      [@key.sign(OpenSSL::Digest.new("SHA256"), signed)].pack("m0")
    end
  end
end
