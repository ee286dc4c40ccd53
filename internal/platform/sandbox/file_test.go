package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

func TestCodesOfResults(t *testing.T) {
	for result, want := range map[int]driver.Code{
		sqlite3.SQLITE_BUSY: driver.Unavailable, sqlite3.SQLITE_LOCKED: driver.Unavailable,
		sqlite3.SQLITE_FULL: driver.Unavailable, sqlite3.SQLITE_IOERR: driver.Unavailable,
		sqlite3.SQLITE_CANTOPEN: driver.Unavailable, sqlite3.SQLITE_INTERRUPT: driver.Unavailable,
		sqlite3.SQLITE_READONLY: driver.PermissionDenied, sqlite3.SQLITE_PERM: driver.PermissionDenied,
		sqlite3.SQLITE_CORRUPT: driver.Unknown, sqlite3.SQLITE_NOTADB: driver.Unknown,
		sqlite3.SQLITE_CONSTRAINT: driver.Unknown, sqlite3.SQLITE_ERROR: driver.Unknown,
	} {
		if got := codeOfResult(result); got != want {
			t.Errorf("result %d is %q, want %q", result, got, want)
		}
	}
}

func TestClassifyErrorsOfTheFileSystem(t *testing.T) {
	for err, want := range map[error]driver.Code{
		fs.ErrPermission:         driver.PermissionDenied,
		fs.ErrNotExist:           driver.Unavailable,
		errors.New("surprising"): driver.Unknown,
	} {
		if got := classify(fmt.Errorf("open: %w", err)).Code; got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}
