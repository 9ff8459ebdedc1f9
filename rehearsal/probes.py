"""Small programs that run on a neighbour of the stack, where only Debian's Python is."""

__all__ = ["API_SUBMIT", "BOUNCE", "CERTIFICATE", "PORT_SCAN", "STATUS", "WEBSITE"]

# Argument: address. Prints the open TCP ports as a JSON list. A firewall that drops is no answer at all: each port gets
# the time of two SYN packets (the kernel repeats the first after a second), thousands of ports at once.
PORT_SCAN = """
import errno, json, resource, select, socket, sys, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
address, at_once, seconds = sys.argv[1], min(4000, most - 50), 2.5
closed = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET, errno.ETIMEDOUT)

def scan(ports):
    poll, waiting, found = select.epoll(), {}, []
    for port in ports:
        one = socket.socket()
        one.setblocking(False)
        code = one.connect_ex((address, port))
        if code not in (0, errno.EINPROGRESS) + closed:
            raise OSError(code, "no verdict on port %d" % port)
        waiting[one.fileno()] = (port, one)
        poll.register(one, select.EPOLLOUT)
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        for number, _ in poll.poll(0.1, at_once):
            port, one = waiting.pop(number)
            poll.unregister(one)
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.append(port)
            one.close()
    for _, one in waiting.values():
        one.close()
    poll.close()
    return found

every = range(1, 65536)
parts = [every[start:start + at_once] for start in range(0, len(every), at_once)]
print(json.dumps(sorted(port for part in parts for port in scan(part))))
"""

# Standard input: JSON with host, recipient (the return path of a message) and headers (of that message). Delivers a
# delivery status notification (RFC 3464), the message's headers included: Postal knows its mail by one of them.
BOUNCE = """
import json, smtplib, sys
asked = json.loads(sys.stdin.read())
host, recipient = asked["host"], asked["recipient"]
text = (
    "From: MAILER-DAEMON@recipient.test\\r\\nTo: %s\\r\\nSubject: Delivery failed\\r\\nMIME-Version: 1.0\\r\\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\\r\\n\\r\\n"
    "--b\\r\\nContent-Type: text/plain\\r\\n\\r\\nno such user\\r\\n"
    "--b\\r\\nContent-Type: message/delivery-status\\r\\n\\r\\nReporting-MTA: dns; mx.recipient.test\\r\\n\\r\\n"
    "Final-Recipient: rfc822; someone@recipient.test\\r\\nAction: failed\\r\\nStatus: 5.1.1\\r\\n"
    "--b\\r\\nContent-Type: text/rfc822-headers\\r\\n\\r\\n%s\\r\\n--b--\\r\\n"
) % (recipient, asked["headers"])
with smtplib.SMTP(host, 25, local_hostname="mx.recipient.test", timeout=20) as smtp:
    smtp.sendmail("", [recipient], text)
"""

# Standard input: JSON with url, key, number, wanted, seconds. Prints the status of that message once it is the wanted
# one, or what it is when the time is over.
STATUS = """
import json, sys, time
import requests
asked = json.loads(sys.stdin.read())

def call(path, body):
    answer = requests.post(asked["url"] + path, json=body, headers={"X-Server-API-Key": asked["key"]}, timeout=30)
    return answer.json()

deadline, status = time.time() + asked["seconds"], ""
while time.time() < deadline:
    data = call("/messages/message", {"id": asked["number"], "_expansions": ["status"]})["data"]
    status = data["status"]["status"]
    if status == asked["wanted"]:
        break
    time.sleep(0.3)
print(status)
"""

# Argument: host name. Prints status and certificate issuer of its /login, and where plain HTTP leads.
WEBSITE = """
import json, socket, ssl, sys
import requests
name = sys.argv[1]
page = requests.get("https://%s/login" % name, timeout=20)
plain = requests.get("http://%s/login" % name, timeout=20, allow_redirects=False)
context = ssl.create_default_context()
with socket.create_connection((name, 443), 10) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
    issuer = dict(pair[0] for pair in tls.getpeercert()["issuer"])
print(json.dumps({"status": page.status_code, "issuer": issuer.get("commonName"),
                  "redirect": plain.headers.get("Location", ""), "redirect_status": plain.status_code}))
"""

# Argument: host name. Upgrades SMTP with full verification and prints whom the certificate is for.
CERTIFICATE = """
import smtplib, ssl, sys
name = sys.argv[1]
with smtplib.SMTP(name, 25, local_hostname="app.rehearsal.test", timeout=20) as smtp:
    smtp.starttls(context=ssl.create_default_context())
    certificate = smtp.sock.getpeercert()
print("%s until %s" % ([value for _, value in certificate["subjectAltName"]], certificate["notAfter"]))
"""

# Standard input: JSON with url, key and body. Hands a message to Postal's API; prints what it says.
API_SUBMIT = """
import json, sys, urllib.error, urllib.request
asked = json.loads(sys.stdin.read())
headers = {"X-Server-API-Key": asked["key"], "Content-Type": "application/json"}
request = urllib.request.Request(asked["url"], data=json.dumps(asked["body"]).encode(), headers=headers)
try:
    with urllib.request.urlopen(request, timeout=30) as reply:
        print(json.load(reply)["status"])
except urllib.error.HTTPError as error:
    print("HTTP %d" % error.code)
"""
