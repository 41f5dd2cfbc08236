//go:build long

package e2e

import "testing"

// The larger servers are no part of every test run: installing them takes longer than it.
func TestDatabasesAreBrought(t *testing.T) {
	brings(t, map[string]string{
		"postgres": `s.connect("/run/postgresql/.s.PGSQL.5432"); s.sendall(bytes([0,0,0,8,4,210,22,47])); assert s.recv(1) in b"NS"`, // SSLRequest, and its answer
		"mariadb":  `s.connect("/run/mysqld/mysqld.sock"); assert b"MariaDB" in s.recv(4096)`,                                        // the server speaks first
	})
}
