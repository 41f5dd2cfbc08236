package probe

import "unsafe"

func addressOf(b *[32]byte) uintptr { return uintptr(unsafe.Pointer(b)) }
