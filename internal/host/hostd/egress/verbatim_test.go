package egress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A file that its server sends with Content-Encoding is the file that arrives, for
// every encoding that the client says that it takes.
func TestBytesPassAsTheyAre(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "an archive")
	z.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, ok := r.Header["Accept-Encoding"]; ok && v[0] != "gzip" {
			t.Errorf("the server is asked for %q", v)
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(packed.Bytes())
	}))
	defer srv.Close()
	host := srv.Listener.Addr().String()
	_, _, dial := proxied(t, host)
	for _, accepts := range []string{"", "Accept-Encoding: gzip\r\n"} {
		conn := dial()
		io.WriteString(conn, "GET "+srv.URL+"/a.tar.gz HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n"+accepts+"\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		if err != nil || !bytes.Equal(got, packed.Bytes()) || res.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("with %q arrive %d bytes of %d, %v, encoding %q", accepts, len(got), packed.Len(), err, res.Header.Get("Content-Encoding"))
		}
	}
}

// A server that ends in the middle of its answer: status and bytes arrive, and the client
// can see that some are missing.
func TestBodyCutShortArrivesCutShort(t *testing.T) {
	for name, answer := range map[string]string{
		"counted": "HTTP/1.1 206 Partial Content\r\nContent-Length: 100\r\n\r\nhalf",
		"chunked": "HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, answer)
				}
			}()
			_, client, _ := proxied(t, l.Addr().String())
			res, err := client.Get("http://" + l.Addr().String() + "/x")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != http.StatusPartialContent || string(body) != "half" || err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
				t.Errorf("%s, %q, %v", res.Status, body, err)
			}
		})
	}
}
