// SPDX-License-Identifier: Apache-2.0

// Command pgclient is a program that uses PostgreSQL as many do: with pgx, and one connection that it keeps until it
// breaks. Every line of standard input is a query, answered by a line of JSON. It connects to DATABASE_URL, or to what
// libpq's variables say.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long connecting and a query may take.
const patience = 20 * time.Second

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// Answer is what a line of output says.
type Answer struct {
	// Value is the first column of the first row.
	Value string `json:"value"`
	// TLS says whether the connection is encrypted.
	TLS bool `json:"tls"`
	// Connections is how many have been opened.
	Connections int    `json:"connections"`
	Error       string `json:"error,omitempty"`
}

// client keeps one connection.
type client struct {
	config      *pgx.ConnConfig
	conn        *pgx.Conn
	connections int
}

func run(stdin io.Reader, stdout io.Writer) error {
	serverName := flag.String("server-name", "", "name that the server's certificate must have (default: the host's)")
	flag.Parse()
	config, err := pgx.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	if *serverName != "" && config.TLSConfig != nil {
		config.TLSConfig.ServerName = *serverName
	}
	c := &client{config: config}
	out := json.NewEncoder(stdout)
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		if err := out.Encode(c.answer(lines.Text())); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (c *client) answer(query string) Answer {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var a Answer
	err := c.query(ctx, query, &a)
	a.Connections = c.connections
	if err != nil {
		a.Error = err.Error()
		if c.conn != nil {
			_ = c.conn.Close(ctx) // it may be broken
			c.conn = nil
		}
	}
	return a
}

func (c *client) query(ctx context.Context, query string, a *Answer) error {
	if c.conn == nil {
		conn, err := pgx.ConnectConfig(ctx, c.config)
		if err != nil {
			return err
		}
		c.conn = conn
		c.connections++
	}
	if err := c.conn.QueryRow(ctx, query).Scan(&a.Value); err != nil {
		return err
	}
	return c.conn.QueryRow(ctx, "select ssl from pg_stat_ssl where pid = pg_backend_pid()").Scan(&a.TLS)
}
