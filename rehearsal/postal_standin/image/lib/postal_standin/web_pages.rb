# frozen_string_literal: true

require "cgi"
require "json"
require "openssl"
require "rack"
require "securerandom"

module PostalStandin
  # The few pages of the web interface: the login, a page that says who is logged in, the installation's public key.
  class Pages
    COOKIE = "_postal_session"
    HTML = { "Content-Type" => "text/html; charset=utf-8" }.freeze

    # Without rails.secret_key every start makes its own, and all sessions end with the process.
    def initialize(secret: Postal::Config.rails.secret_key)
      @key = OpenSSL::Digest.digest("SHA256", secret || SecureRandom.hex(64))
    end

    def call(env)
      request = Rack::Request.new(env)
      session = read_session(request)
      case [request.request_method, request.path_info.sub(%r{(?<=.)/\z}, "")]
      in ["GET" | "HEAD", "/login"] then login_page(session, request)
      in ["POST", "/login"] then log_in(session, request)
      in ["GET" | "HEAD", "/"] then home(session, request)
      in ["GET" | "HEAD", "/.well-known/jwks.json"] then jwks
      else [404, HTML, [page("<p>Not found</p>")]]
      end
    end

    private

    def home(session, request)
      user = session["user"] && User.find_by(id: session["user"])
      return redirect(request, "/login?return_to=#{CGI.escape(request.fullpath)}") unless user

      role = user.admin ? "administrator" : "user"
      [200, HTML, [page("<p>Logged in as #{CGI.escapeHTML(user.email_address)} (#{role})</p>")]]
    end

    def login_page(session, request, alert: nil)
      session["csrf"] ||= SecureRandom.hex(16)
      hidden = { authenticity_token: session["csrf"], return_to: request.params["return_to"] }.map do |name, value|
        %(<input type="hidden" name="#{name}" value="#{CGI.escapeHTML(value.to_s)}">)
      end
      form = <<~FORM
        #{"<p>#{alert}</p>" if alert}
        <form action="/login" method="post">
        #{hidden.join("\n")}
        <input type="email" name="email_address"><input type="password" name="password">
        <input type="submit" value="Login">
        </form>
      FORM
      with_session([200, HTML.dup, [page(form)]], session, request)
    end

    # As in Postal: the token of the form is required, a wrong password shows the form again (200).
    def log_in(session, request)
      token = request.params["authenticity_token"].to_s
      unless session["csrf"] && same?(session["csrf"], token)
        return [422, HTML, [page("<p>Invalid authenticity token</p>")]]
      end

      user = User.find_by(email_address: request.params["email_address"].to_s)
      unless user&.authenticate(request.params["password"].to_s)
        return login_page(session, request, alert: "The credentials you've provided are incorrect.")
      end

      target = request.params["return_to"].to_s
      target = "/" unless target.match?(%r{\A/(?![/\\])})
      with_session(redirect(request, target), { "user" => user.id }, request)
    end

    # RFC 7517; the key id is the SHA-256 of the public key's numbers, as Postal's library makes it.
    def jwks
      key = Postal.signing_key
      numbers = OpenSSL::ASN1::Sequence([OpenSSL::ASN1::Integer(key.n), OpenSSL::ASN1::Integer(key.e)])
      identity = OpenSSL::Digest.hexdigest("SHA256", numbers.to_der)
      entry = { kty: "RSA", n: number(key.n), e: number(key.e), kid: identity, use: "sig", alg: "RS256" }
      [200, { "Content-Type" => "application/json; charset=utf-8" }, [JSON.generate(keys: [entry])]]
    end

    def number(value)
      [value.to_s(2)].pack("m0").tr("+/", "-_").delete("=")
    end

    def redirect(request, path)
      [302, HTML.merge("Location" => "#{request.base_url}#{path}"), []]
    end

    def page(content)
      "<!DOCTYPE html><html><head><title>Login - Postal stand-in</title></head><body>" \
        "<h1>Stand-in for Postal #{Postal.version}</h1><p>Not the real Postal.</p>\n#{content}</body></html>\n"
    end

    # Cookie: base64 of the session as JSON, two dashes, HMAC-SHA256 with the secret key.
    def read_session(request)
      data, signature = request.cookies[COOKIE].to_s.split("--", 2)
      return {} unless data && signature && same?(sign(data), signature)

      JSON.parse(data.unpack1("m0"))
    end

    def with_session(response, session, request)
      data = [JSON.generate(session)].pack("m0")
      cookie = { value: "#{data}--#{sign(data)}", path: "/", httponly: true, same_site: :lax, secure: request.ssl? }
      Rack::Utils.set_cookie_header!(response[1], COOKIE, cookie)
      response
    end

    def sign(data)
      OpenSSL::HMAC.hexdigest("SHA256", @key, data)
    end

    def same?(one, other)
      Rack::Utils.secure_compare(one, other)
    end
  end
end
