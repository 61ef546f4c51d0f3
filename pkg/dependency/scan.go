// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"cmp"
	"slices"
	"strings"
)

// span is a part of the value of one text.
type span struct{ text, start, end int }

func (s span) isEmpty() bool { return s.start == s.end }

// form is how a host is written, from which follows what it proves.
type form uint8

const (
	// inURL is a host in the authority of a URL.
	inURL form = iota
	// withPort is host:port.
	withPort
	// inPair is a host with a port that is written elsewhere and says that it is this host's.
	inPair
	// inField is a host that is all that a key like X_HOST says, without a port anywhere.
	inField
	// qualified is a name that says by itself that it is a host's: x.ns.svc.
	qualified
)

// mention is a place where texts name a host, whatever host that is. Mentions of one host with several ports share the
// host's span, and those of several hosts with one port the port's.
type mention struct {
	form form
	host span
	// port is where the port is written; empty if it isn't.
	port span
	// number is the port that is written or, if none is, the default of the URL's scheme; 0 if that isn't known either.
	number uint16
	// lead is what is before the host in a URL, from the scheme on, and user the user and password in it.
	lead, user span
	// hostKey and portKey are the keys of a pair, as written.
	hostKey, portKey string
	// byComma says that the port belongs to all hosts of a list, and may be a list itself.
	byComma bool
	// srv says that the host isn't dialled but asked for SRV records.
	srv bool
}

// scanner finds what texts mention. It reads each text once, from left to right, and looks ahead no further than a
// host, a port or [maxPassword], so that its time is linear in the text.
type scanner struct {
	texts   []Text
	schemes map[string]uint16

	mentions []mention
	fields   []field

	// text is the index of the one being read, and value what it says.
	text  int
	value string
	// layout tells which keys stand together.
	layout layout
	// awaited is where a value of the last field may begin, or -1.
	awaited int
}

// scan returns what texts mention, in the order of the texts.
func scan(texts []Text) []mention {
	s := scanner{texts: texts, schemes: defaultPorts()}
	for i := range texts {
		s.scanText(i)
	}
	s.pairFields()
	slices.SortStableFunc(s.mentions, func(a, b mention) int {
		return cmp.Or(cmp.Compare(a.host.text, b.host.text), cmp.Compare(a.host.start, b.host.start))
	})
	return s.mentions
}

func (s *scanner) scanText(i int) {
	s.text, s.value, s.awaited = i, s.texts[i].Value, -1
	s.layout = layout{}
	s.layout.startLine(s.value, 0)
	at := s.openNamed()
	for at < len(s.value) {
		switch c := s.value[at]; {
		case isWord(c):
			at = s.scanWord(at)
		case c == '[': // of an IPv6 address, or of anything else
			next, ok := s.scanHostPort(at)
			if !ok {
				next++
			}
			at = next
		case c == '@' && strings.HasPrefix(s.value[at:], "@//"): // as jdbc:oracle:thin:@//host/name has it
			at = s.scanAuthority("oracle", span{s.text, at, at + len("@//")})
		case c == '\n':
			at++
			s.layout.startLine(s.value, at)
		default:
			s.layout.pass(c)
			at++
		}
	}
}

// scanWord reads what begins with the word at start and returns where to go on. What comes first here is surer.
func (s *scanner) scanWord(start int) int {
	end := wordEnd(s.value, start)
	if s.afterEscape(start) {
		start++
	}
	word := s.value[start:end]
	if word == "" {
		return end
	}
	if mark := authorityMark(s.value[end:]); mark > 0 {
		return s.scanURL(start, end, mark)
	}
	k, isKey := parseKey(word)
	if isKey && k.role == portRole && s.openField(k, start, end) {
		return end
	}
	if next, ok := s.scanHostPort(start); ok {
		return next
	}
	if start == s.awaited {
		if next, ok := s.scanItem(start, end); ok {
			return next
		}
	}
	if isKey && s.openField(k, start, end) {
		return end
	}
	if looksQualified(word) && s.canBegin(start) && !strings.HasSuffix(s.value[:start], "@") && s.canEnd(end) {
		s.mentions = append(s.mentions, mention{form: qualified, host: span{s.text, start, end}})
	}
	return end
}

// scanHostPort reads host:port outside of a URL.
func (s *scanner) scanHostPort(start int) (next int, ok bool) {
	a, ok := s.addressAt(start)
	if !ok || a.port.isEmpty() || !s.canBegin(start) || !s.canEnd(a.port.end) {
		return start, false
	}
	s.mentions = append(s.mentions, mention{form: withPort, host: a.host, port: a.port, number: a.number})
	return a.port.end, true
}

// address is a host with or without a port.
type address struct {
	host, port span
	number     uint16
}

// addressAt reads an address. Nothing is said about what follows it.
func (s *scanner) addressAt(start int) (address, bool) {
	end := hostEnd(s.value, start)
	if end == start {
		return address{}, false
	}
	a := address{host: span{s.text, start, end}}
	if end < len(s.value) && s.value[end] == ':' {
		if number, length := leadingPort(s.value[end+1:]); length > 0 {
			a.port, a.number = span{s.text, end + 1, end + 1 + length}, number
		}
	}
	return a, true
}

// hostEnd returns where the host ends that begins at start, or start if none does.
func hostEnd(value string, start int) int {
	const longest = 48 // of an IPv6 address with brackets
	if start < len(value) && value[start] == '[' {
		window := value[start:min(start+longest, len(value))]
		if i := strings.IndexByte(window, ']'); i > 0 && strings.Contains(window[:i], ":") && isAddress(window[1:i]) {
			return start + i + 1
		}
		return start
	}
	end := wordEnd(value, start)
	if end == start || !isAlphanumeric(value[start]) || !isAlphanumeric(value[end-1]) && value[end-1] != '.' {
		return start
	}
	for _, c := range []byte(value[start:end]) {
		if c == '_' || c >= 0x80 {
			return start
		}
	}
	return end
}

// leadingPort reads the port that text begins with, without the dot that may end a sentence.
func leadingPort(text string) (number uint16, length int) {
	const digits = 5
	n := 0
	for length < len(text) && length <= digits && isDigit(text[length]) {
		n = n*10 + int(text[length]-'0')
		length++
	}
	const highest = 1<<16 - 1
	if length == 0 || length > digits || text[0] == '0' || n > highest {
		return 0, 0
	}
	if rest := text[length:]; rest != "" && isWord(rest[0]) && (rest[0] != '.' || len(rest) > 1 && isWord(rest[1])) {
		return 0, 0
	}
	return uint16(n), length
}

// canBegin reports whether a host may begin here outside of a URL: after what separates words or values, but not in the
// midst of a path, a name with colons or a template.
func (s *scanner) canBegin(at int) bool {
	before := s.value[:at]
	if before == "" || strings.IndexByte(" \t\r\n\"'`=,;([{<>|@&", before[at-1]) >= 0 {
		return true
	}
	return before[at-1] == '/' && strings.HasSuffix(before, "//") ||
		before[at-1] == ':' && hasAnySuffix(before, "dns:", "tcp:", "udp:") || // names of gRPC, and of many a tool
		at > 1 && s.afterEscape(at-1)
}

// canEnd reports whether a host or port may end here.
func (s *scanner) canEnd(at int) bool {
	return at == len(s.value) || s.value[at] == '.' || strings.IndexByte(" \t\r\n\"'`/,:;)]}<>?#&|\\", s.value[at]) >= 0
}

// afterEscape reports whether the letter at this place is not one, but the rest of \n, \r or \t in a quoted string.
func (s *scanner) afterEscape(at int) bool {
	return at > 0 && s.value[at-1] == '\\' && strings.IndexByte("nrt", s.value[at]) >= 0
}

func hasAnySuffix(s string, suffixes ...string) bool {
	return slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(s, suffix) })
}

// looksQualified reports whether a word says that it is a Service's name. Which domain is the cluster's is not its matter.
func looksQualified(word string) bool {
	word = strings.TrimSuffix(word, ".")
	i := strings.Index(word, ".svc")
	if i < 0 || hostEnd(word, 0) != len(word) {
		return false
	}
	rest := word[i+len(".svc"):]
	return strings.Contains(word[:i], ".") && (rest == "" || rest[0] == '.')
}

// wordEnd returns where the word ends that begins at start. A word is what may be a host and whatever would be part of
// the same name in somebody's eyes, so that no host is found inside of it.
func wordEnd(value string, start int) int {
	for start < len(value) && isWord(value[start]) {
		start++
	}
	return start
}

func isWord(c byte) bool {
	return isAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c >= 0x80
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || isDigit(c) || 'A' <= c && c <= 'Z'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
