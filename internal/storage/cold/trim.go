package cold

// trim is called when listings end. With mu.
func (fs *FS) trim() {}
