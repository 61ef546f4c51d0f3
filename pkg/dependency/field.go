// SPDX-License-Identifier: Apache-2.0

package dependency

import "strings"

// role is what a key says that its value is.
type role uint8

const (
	hostRole role = iota
	portRole
)

// key is what the name of a variable, a flag or a key in a file says.
type key struct {
	role role
	// stem is what a host and its port have in common: redis for REDIS_HOST, redis.port and --redisHost.
	stem string
	// service says that it is X_SERVICE_HOST or X_SERVICE_PORT, which belong together before others of the same stem.
	service bool
	// vague keys are a host's if there is a port, and may be anything if there is none.
	vague bool
}

// parseKey reads a key, which must end in what its value is.
func parseKey(word string) (key, bool) {
	switch word {
	case "-h":
		return key{role: hostRole, vague: true}, true
	case "-p", "-P":
		return key{role: portRole}, true
	}
	rest, last := cutSegment(word)
	var k key
	switch strings.ToLower(last) {
	case "host", "hosts", "hostname", "hostaddr", "addr", "address", "server", "servers":
	case "source": // as in Data Source=host,port
		k.vague = true
	case "name":
		if rest, last = cutSegment(rest); !strings.EqualFold(last, "host") {
			return key{}, false
		}
	case "pghost":
		k.stem = "pg"
	case "port", "ports":
		k.role = portRole
	case "pgport":
		k.role, k.stem = portRole, "pg"
	default:
		return key{}, false
	}
	if before, last := cutSegment(rest); strings.EqualFold(last, "service") {
		rest, k.service = before, true
	}
	k.stem = stemOf(rest) + k.stem
	return k, true
}

// parseName reads the name of a variable, which may be that of one port of a Service's several.
func parseName(name string) (key, bool) {
	if stem, _, ok := strings.Cut(name, "_SERVICE_PORT_"); ok {
		return key{role: portRole, stem: stemOf(stem), service: true}, true
	}
	return parseKey(name)
}

// cutSegment cuts the last part off a name whose parts are told by separators or by case.
func cutSegment(name string) (rest, last string) {
	for i := len(name) - 1; i >= 0; i-- {
		switch {
		case isSeparator(rune(name[i])):
			return name[:i], name[i+1:]
		case i > 0 && isUpper(name[i]) && isLower(name[i-1]):
			return name[:i], name[i:]
		}
	}
	return "", name
}

// stemOf returns a name such that all spellings of it are the same.
func stemOf(name string) string {
	return strings.Map(func(r rune) rune {
		if isSeparator(r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

func isSeparator(c rune) bool { return c == '_' || c == '-' || c == '.' }
func isUpper(c byte) bool     { return 'A' <= c && c <= 'Z' }
func isLower(c byte) bool     { return 'a' <= c && c <= 'z' }

// scope is what kind of place a field has, which decides how hosts and ports find each other.
type scope uint8

const (
	// inText: a key inside of a text, which belongs to its neighbours in the same block.
	inText scope = iota
	// ofArguments: a flag, which belongs to its neighbours among all arguments.
	ofArguments
	// ofNames: a text of its own, whose name is its key. The order of such texts means nothing.
	ofNames
)

// block is where fields may belong together.
type block struct {
	scope scope
	// where is the Text's, of fields beyond a text, and text its index, of those inside of one.
	where string
	text  int
	place place
}

// field is a key with its value: hosts, or the numbers of ports.
type field struct {
	key
	// name is the key as written.
	name  string
	block block
	line  int
	// separated says that an equals sign or a colon says what is the value, and spaced that a blank ends it.
	separated, spaced bool
	// items are the values: mentions with a host, with a port, or with both.
	items []mention
}

// openNamed opens the field that a text is as a whole, and returns where to begin reading it.
func (s *scanner) openNamed() int {
	text := s.texts[s.text]
	name, scope := text.Name, ofNames
	if name == "" {
		name, scope = s.flagBefore(), ofArguments
	}
	k, ok := parseName(name)
	if !ok {
		return 0
	}
	begin := len(text.Value) - len(strings.TrimLeft(text.Value, padding))
	s.fields = append(s.fields, field{
		key: k, name: name, separated: true, block: block{scope: scope, where: text.Where, text: wholeText},
	})
	s.awaited = begin
	whole := strings.TrimRight(text.Value[begin:], padding)
	if k.role == hostRole && strings.Contains(whole, ":") && isAddress(whole) { // an IPv6 address, in which no host:port is
		s.addItem(mention{form: inField, host: span{s.text, begin, begin + len(whole)}, hostKey: name})
		return len(text.Value)
	}
	return 0
}

const (
	// wholeText is the block's text of fields beyond one.
	wholeText = -1
	// padding may be around a value.
	padding = " \t\r\n\"'"
)

// flagBefore returns the argument before this one if it is a flag that this one may be the value of.
func (s *scanner) flagBefore() string {
	if s.text == 0 {
		return ""
	}
	before := s.texts[s.text-1]
	isFlag := before.Where == s.texts[s.text].Where && before.Name == "" &&
		strings.HasPrefix(before.Value, "-") && wordEnd(before.Value, 0) == len(before.Value)
	if !isFlag {
		return ""
	}
	return before.Value
}

// openField opens the field of a key inside of a text, if a value follows.
func (s *scanner) openField(k key, start, end int) bool {
	value := s.value
	isFlag := value[start] == '-'
	f := field{
		key: k, name: value[start:end], line: s.layout.line, spaced: isFlag || k.role == portRole,
		block: block{scope: inText, text: s.text, place: s.layout.place()},
	}
	if isFlag && start == 0 && s.texts[s.text].Name == "" {
		f.block, f.line = block{scope: ofArguments, where: s.texts[s.text].Where, text: wholeText}, 0
	}
	at := end + quotes(value[end:])
	at += blanks(value[at:])
	switch {
	case at < len(value) && (value[at] == '=' || value[at] == ':'):
		f.separated, f.spaced = true, f.spaced || value[at] == '='
		for at++; at < len(value) && (value[at] == '=' || value[at] == '>'); { // as in := and =>
			at++
		}
	case at > end && (value[at-1] == ' ' || value[at-1] == '\t') && (isFlag || start == s.layout.first):
		f.separated = isFlag
	default:
		return false
	}
	at += blanks(value[at:])
	if at < len(value) && value[at] == '[' {
		at++
	}
	at += quotes(value[at:])
	s.fields, s.awaited = append(s.fields, f), at
	return true
}

// quotes returns the length of the quote that a text begins with, which may be escaped.
func quotes(text string) int {
	escape := 0
	if strings.HasPrefix(text, `\`) {
		escape = 1
	}
	if len(text) > escape && (text[escape] == '"' || text[escape] == '\'') {
		return escape + 1
	}
	return 0
}

// scanItem reads the word that may be a value of the last field, or one of several. If it isn't, none follow.
func (s *scanner) scanItem(start, end int) (next int, ok bool) {
	s.awaited = -1
	f := &s.fields[len(s.fields)-1]
	here := span{s.text, start, end}
	number, length := leadingPort(s.value[start:])
	isPort := length > 0 && start+length == end
	switch {
	case f.role == hostRole && s.value[start:end] == "tcp" && strings.HasPrefix(s.value[end:], ":"):
		s.awaited = end + 1 // the host, as in Server=tcp:db,1433
		return s.awaited, true
	case f.role == portRole && (!isPort || !f.endsAt(s.value, end)):
		f.items = nil // a part of a list says nothing
		return 0, false
	case !f.endsAt(s.value, end) || f.role == hostRole && isPort && len(f.items) == 0:
		return 0, false
	case f.role == portRole:
		s.addItem(mention{port: here, number: number})
	case isPort: // of the host before it, as in Server=db,1433
		last := &f.items[len(f.items)-1]
		if !last.port.isEmpty() {
			return 0, false
		}
		last.port, last.number, last.form, last.hostKey = here, number, inPair, f.name
	case hostEnd(s.value, start) == end:
		s.addItem(mention{form: inField, host: here, hostKey: f.name})
	default:
		return 0, false
	}
	if strings.HasPrefix(s.value[end:], ",") {
		s.awaited = end + 1 + blanks(s.value[end+1:])
	}
	return end, true
}

// takeURL makes a URL without a port the value of the last field, if it is: the port may be another field's.
func (s *scanner) takeURL(m mention) bool {
	if m.lead.start != s.awaited || !m.port.isEmpty() || s.fields[len(s.fields)-1].role != hostRole {
		return false
	}
	m.hostKey = s.fields[len(s.fields)-1].name
	s.addItem(m)
	return true
}

func (s *scanner) addItem(m mention) {
	f := &s.fields[len(s.fields)-1]
	f.items = append(f.items, m)
}

// endsAt reports whether a value may end here, rather than be the first word of a sentence.
func (f *field) endsAt(value string, at int) bool {
	rest := value[at:]
	if rest == "" || rest[0] == ',' {
		return true
	}
	if f.block.text == wholeText {
		return strings.TrimLeft(rest, padding) == ""
	}
	if strings.IndexByte("\"'`;)]}&<\\\r\n", rest[0]) >= 0 {
		return true
	}
	after := rest[blanks(rest):]
	return len(after) < len(rest) && (f.spaced || after == "" || strings.IndexByte("\r\n#}", after[0]) >= 0)
}
