package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// commandTimeout is RFC 5321 section 4.5.3.2.7: a server waits at least 5 minutes for a command.
	commandTimeout = 5 * time.Minute
	// maxMessageBytes is announced with SIZE (RFC 1870); smtp-relay.gmail.com takes 25 MB and more.
	maxMessageBytes = 35882577
	// maxCommandBytes bounds a command line. RFC 5321 section 4.5.3.1.4 asks for 512, extensions for more.
	maxCommandBytes = 4096
)

var errLineTooLong = errors.New("SMTP command line is too long")

// sink is the SMTP server. It throws every message away.
type sink struct {
	name     string
	tls      *tls.Config
	counters *counters
}

func (s *sink) serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go s.handle(conn)
	}
}

// session is one SMTP connection. Replies collect in w until the client has nothing more in the pipe
// (RFC 2920), so a pipelined envelope costs one write.
type session struct {
	sink       *sink
	conn       net.Conn
	r          *bufio.Reader
	w          *bufio.Writer
	encrypted  bool
	greeted    bool
	sender     bool
	recipients int
	use        connectionUse
}

func (s *sink) handle(conn net.Conn) {
	s.counters.connectionOpened(handshakeRTT(conn))
	session := &session{
		sink: s,
		conn: conn,
		r:    bufio.NewReaderSize(conn, 16<<10),
		w:    bufio.NewWriterSize(conn, 4<<10),
		use:  connectionUse{window: -1},
	}
	defer func() {
		_ = session.conn.Close()
		s.counters.connectionClosed()
	}()
	session.reply("220 " + s.name + " ESMTP bench sink")
	for {
		// A client that sent several commands at once is answered once.
		if session.r.Buffered() == 0 {
			if err := session.w.Flush(); err != nil {
				return
			}
		}
		_ = session.conn.SetDeadline(time.Now().Add(commandTimeout))
		line, err := session.readLine()
		if err != nil {
			return
		}
		if !session.command(line) {
			_ = session.w.Flush()
			return
		}
	}
}

func (s *session) reply(line string) {
	_, _ = s.w.WriteString(line)
	_, _ = s.w.WriteString("\r\n")
}

func (s *session) readLine() (string, error) {
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if len(line) > maxCommandBytes {
		return "", errLineTooLong
	}
	return string(bytes.TrimRight(line, "\r\n")), nil
}

// command answers one command; false means the connection is over.
func (s *session) command(line string) bool {
	verb, argument := line, ""
	if at := strings.IndexByte(line, ' '); at >= 0 {
		verb, argument = line[:at], line[at+1:]
	}
	switch strings.ToUpper(verb) {
	case "EHLO":
		s.ehlo()
	case "HELO":
		s.greeted = true
		s.reply("250 " + s.sink.name)
	case "STARTTLS":
		return s.startTLS()
	case "MAIL":
		s.mail(argument)
	case "RCPT":
		s.rcpt(argument)
	case "DATA":
		return s.data()
	case "RSET":
		s.sender, s.recipients = false, 0
		s.reply("250 2.1.5 Flushed")
	case "NOOP":
		s.reply("250 2.0.0 OK")
	case "QUIT":
		s.reply("221 2.0.0 closing connection")
		return false
	default:
		s.reply("502 5.5.1 Unrecognized command")
	}
	return true
}

// ehlo announces what smtp-relay.gmail.com announces, less CHUNKING and SMTPUTF8, which change nothing
// for Postfix 3.7 sending an ASCII message.
func (s *session) ehlo() {
	s.greeted = true
	s.reply("250-" + s.sink.name + " at your service")
	s.reply("250-SIZE " + strconv.Itoa(maxMessageBytes))
	s.reply("250-8BITMIME")
	if !s.encrypted {
		s.reply("250-STARTTLS")
	}
	s.reply("250-ENHANCEDSTATUSCODES")
	s.reply("250 PIPELINING")
}

func (s *session) startTLS() bool {
	if s.encrypted {
		s.reply("503 5.5.1 TLS is already active")
		return true
	}
	// RFC 3207 section 4.2: what came before the handshake must be forgotten, and anything that the
	// client sent behind STARTTLS in clear is an injection.
	if s.r.Buffered() > 0 {
		return false
	}
	s.reply("220 2.0.0 Ready to start TLS")
	if s.w.Flush() != nil {
		return false
	}
	secured := tls.Server(s.conn, s.sink.tls)
	if err := secured.Handshake(); err != nil {
		s.sink.counters.handshakeFailed()
		return false
	}
	s.sink.counters.handshake(secured.ConnectionState().DidResume)
	s.conn = secured
	s.r.Reset(secured)
	s.w.Reset(secured)
	s.encrypted, s.greeted, s.sender, s.recipients = true, false, false, 0
	return true
}

func (s *session) mail(argument string) {
	switch {
	case !s.encrypted:
		s.reply("530 5.7.0 Must issue a STARTTLS command first.")
	case !s.greeted:
		s.reply("503 5.5.1 EHLO/HELO first.")
	case s.sender:
		s.reply("503 5.5.1 MAIL already given")
	case !strings.HasPrefix(strings.ToUpper(argument), "FROM:"):
		s.reply("501 5.5.4 Syntax: MAIL FROM:<address>")
	default:
		s.sender = true
		s.reply("250 2.1.0 OK")
	}
}

func (s *session) rcpt(argument string) {
	switch {
	case !s.sender:
		s.reply("503 5.5.1 MAIL first.")
	case !strings.HasPrefix(strings.ToUpper(argument), "TO:"):
		s.reply("501 5.5.4 Syntax: RCPT TO:<address>")
	default:
		s.recipients++
		s.reply("250 2.1.5 OK")
	}
}

func (s *session) data() bool {
	if s.recipients == 0 {
		s.reply("503 5.5.1 RCPT first.")
		return true
	}
	s.reply("354 Go ahead")
	if s.w.Flush() != nil {
		return false
	}
	if err := s.skipMessage(); err != nil {
		return false
	}
	s.sink.counters.message(&s.use, s.recipients)
	s.sender, s.recipients = false, 0
	s.reply("250 2.0.0 OK")
	return true
}

// skipMessage reads up to the line that holds only a dot (RFC 5321 section 4.1.1.4).
func (s *session) skipMessage() error {
	lineStart := true
	for {
		chunk, err := s.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		if lineStart && len(chunk) == 3 && chunk[0] == '.' && chunk[1] == '\r' {
			return nil
		}
		lineStart = err == nil
	}
}
