package cold

import "context"

type attrIndex struct{ fs *FS }

func openIndex(fs *FS, dir string) *attrIndex          { return &attrIndex{fs} }
func (x *attrIndex) put(n *node)                       {}
func (x *attrIndex) find(n *node, key string) bool     { return false }
func (x *attrIndex) publish(ctx context.Context) error { return nil }
func (x *attrIndex) close() error                      { return nil }
