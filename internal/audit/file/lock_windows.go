package file

import (
	"context"
	"os"
)

// lock does nothing: where processes meet on Windows, an empty line may come between two events.
func lock(context.Context, *os.File) error { return nil }
