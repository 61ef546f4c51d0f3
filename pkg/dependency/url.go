// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"maps"
	"strings"
)

// maxPassword is how far a password with a slash in it is followed.
const maxPassword = 1024

// noHost is the port of schemes whose authority is no host.
const noHost = 0

// defaultPorts returns the ports that schemes stand for.
func defaultPorts() map[string]uint16 {
	byPort := map[uint16]string{
		21: "ftp", 22: "ssh sftp", 25: "smtp", 80: "http ws", 389: "ldap", 443: "https wss grpcs", 465: "smtps",
		587: "submission", 636: "ldaps", 1433: "sqlserver mssql", 1521: "oracle", 1883: "mqtt", 2049: "nfs", 2181: "zookeeper zk",
		2379: "etcd", 3306: "mysql mysql2 mysqlx mariadb loadbalance replication sequential aurora", 4222: "nats",
		4317: "otlp", 5222: "xmpp", 5432: "postgres postgresql pgsql", 5671: "amqps", 5672: "amqp",
		6379: "redis rediss valkey valkeys", 6650: "pulsar", 7687: "bolt bolts neo4j", 8123: "clickhouse", 8883: "mqtts",
		9042: "cassandra", 9092: "kafka plaintext sasl_plaintext sasl_ssl", 9200: "elasticsearch", 10000: "hive2",
		11211: "memcached memcache", 26257: "cockroachdb cockroach crdb", 27017: "mongodb", 28015: "rethinkdb",
		noHost: "abfs abfss arn azblob azure classpath data docker file gcs gs jar k8s lb oci resource s3 s3a s3n " +
			"secret unix unixs urn vault wasb wasbs",
	}
	ports := make(map[string]uint16)
	for port, schemes := range maps.All(byPort) {
		for scheme := range strings.FieldsSeq(schemes) {
			ports[scheme] = port
		}
	}
	return ports
}

// authorityMark returns the length of "://" at the start of text, which JSON may have with its slashes escaped.
func authorityMark(text string) int {
	const plain, escaped = "://", `:\/\/`
	switch {
	case strings.HasPrefix(text, plain):
		return len(plain)
	case strings.HasPrefix(text, escaped):
		return len(escaped)
	}
	return 0
}

// scanURL reads a URL up to the end of its authority. The last word of its scheme, and the mark that follows that, are
// known.
func (s *scanner) scanURL(start, end, mark int) int {
	const longest = 32
	for lowest := max(0, start-longest); start > lowest && (s.value[start-1] == '+' || isWord(s.value[start-1])); {
		start-- // to the first word of one like mongodb+srv
	}
	return s.scanAuthority(strings.ToLower(s.value[start:end]), span{s.text, start, end + mark})
}

// scanAuthority reads the hosts of a URL's authority, which follows its lead.
func (s *scanner) scanAuthority(scheme string, lead span) int {
	base, kind, _ := strings.Cut(scheme, "+")
	implied, known := s.schemes[base]
	if known && implied == noHost {
		return s.authorityEnd(lead.end)
	}
	after := s.afterUser(lead.end)
	hosts, end := s.hostList(after)
	if len(hosts) == 0 {
		if after = s.afterOddUser(lead.end); after > lead.end {
			hosts, end = s.hostList(after)
		}
	}
	m := mention{form: inURL, lead: lead, user: span{s.text, lead.end, after}, srv: kind == "srv"}
	for _, a := range hosts {
		m.host, m.port, m.number = a.host, a.port, a.number
		if a.port.isEmpty() {
			m.number = implied
		}
		if len(hosts) > 1 || !s.takeURL(m) {
			s.mentions = append(s.mentions, m)
		}
	}
	return max(end, lead.end)
}

// hostList reads what is between a URL's user and its path: addresses with commas between them. It returns those before
// the first that is none.
func (s *scanner) hostList(at int) (list []address, end int) {
	for {
		a, ok := s.addressAt(at)
		if !ok {
			return list, at
		}
		end = max(a.host.end, a.port.end)
		switch {
		case authorityMark(s.value[end:]) > 0: // the scheme of another URL
			return list, at
		case !s.canEnd(end) || a.port.isEmpty() && strings.HasPrefix(s.value[end:], ":"):
			return list, at
		}
		list = append(list, a)
		if !strings.HasPrefix(s.value[end:], ",") {
			return list, end
		}
		at = end + 1
	}
}

// afterUser returns where the hosts of an authority begin that begins at start: after its last @, as in RFC 3986, 3.2.
func (s *scanner) afterUser(start int) int {
	return start + strings.LastIndexByte(s.value[start:s.authorityEnd(start)], '@') + 1
}

// authorityEnd returns where an authority ends for certain. It may do so earlier.
func (s *scanner) authorityEnd(start int) int {
	if i := strings.IndexAny(s.value[start:], "/?#; \t\r\n\"'`<>\\"); i >= 0 {
		return start + i
	}
	return len(s.value)
}

// afterOddUser is afterUser for a password that should have been escaped and was not, since what would be the authority
// can't be one. Clients differ in what they make of those, but agree on the last @ before the next slash.
func (s *scanner) afterOddUser(start int) int {
	rest := s.value[start:min(start+maxPassword, len(s.value))]
	if i := strings.IndexAny(rest, " \t\r\n\"<>"); i >= 0 {
		rest = rest[:i]
	}
	first := strings.IndexByte(rest, '@')
	if first < 0 {
		return start
	}
	hosts := rest[first:]
	if i := strings.IndexAny(hosts, "/?#;"); i >= 0 {
		hosts = hosts[:i]
	}
	return start + first + strings.LastIndexByte(hosts, '@') + 1
}
