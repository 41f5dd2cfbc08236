package cold_test

import (
	"testing"
)

func TestFilesComeAndGo(t *testing.T) {
	b := newBed(t)
	b.bucket.Put(keys+"from/elsewhere.txt", "hello", nil)
	if got := b.sh("cat from/elsewhere.txt; ls -1"); got != "hellofrom" {
		t.Errorf("reads %q", got)
	}
	b.sh("mkdir -p a/b; echo one > a/b/one; echo two >> a/b/one; ln -s one a/b/link; chmod 600 a/b/one")
	if got := b.sh("cat a/b/link; stat -c '%a %s %u' a/b/one; readlink a/b/link; find . | sort"); got != "one\ntwo\n600 8 1000\none\n.\n./a\n./a/b\n./a/b/link\n./a/b/one\n./from\n./from/elsewhere.txt" {
		t.Errorf("reads %q", got)
	}
	b.sync()
	b.bucket.Want(keys+"a/b/one", "one\ntwo\n")
	b.bucket.Want(keys+"a/b/link", "one")
	b.sh("mv a/b c; rm from/elsewhere.txt; rmdir a; echo 3 >> c/one; mv c/one c/two")
	if got := b.sh("cat c/two; ls from"); got != "one\ntwo\n3" {
		t.Errorf("reads %q", got)
	}
	b.sync()
	b.bucket.Want(keys+"c/two", "one\ntwo\n3\n")
	b.bucket.Want(keys+"c/link", "one")
	for _, gone := range []string{"a/b/one", "a/b/link", "a/", "from/elsewhere.txt", "c/one"} {
		b.bucket.WantNone(keys + gone)
	}
	b.stop()
	b.start()
	if got := b.sh("cat c/two; ls -l c | awk 'NR>1{print $1,$5}'; ls from"); got != "one\ntwo\n3\nlrwxrwxrwx 3\n-rw------- 10" {
		t.Errorf("after a restart it reads %q", got)
	}
}
