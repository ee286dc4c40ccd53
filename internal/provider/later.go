package provider

import (
	"context"
	"errors"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
)

// fleetLater is the fleet that the configuration becomes. Drivers may use it at their first call, not before.
type fleetLater struct{ fleet *fleet.Fleet }

// platformStore is another platform of the same configuration as a secret store, for kinds that need one themselves. Its
// calls go through that platform's own chain. All its errors are *driver.Error.
type platformStore struct {
	later *fleetLater
	name  string
	// of is the platform that needs the store.
	of string
}

func (s platformStore) connect(ctx context.Context) (*fleet.Conn, error) {
	platform, err := s.later.fleet.Platform(s.name)
	if err != nil {
		return nil, driver.Errorf(driver.Invalid, "%w", err)
	}
	// Asked before connecting: two platforms that need each other would wait for each other.
	if !platform.Spec().Can(driver.CanStoreSecrets) {
		return nil, driver.Errorf(driver.Invalid, "platform %q cannot store secrets", s.name)
	}
	// What the driver does here belongs to the change that it is in the middle of.
	under := s.later.fleet
	if journal := audit.Current(ctx); journal != nil {
		under = under.Under(journal)
	}
	conn, err := under.ConnectRegistry(ctx, s.name, s.of)
	var known *driver.Error
	if err != nil && !errors.As(err, &known) {
		err = driver.Errorf(driver.Unknown, "%w", err)
	}
	return conn, err
}

// ID is the id of the store that the platform's name reaches.
func (s platformStore) ID(ctx context.Context) (string, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	return conn.Target().StoreID(), nil
}

// PutSecret finishes what the driver has begun elsewhere: a change, or a read with which a server has replaced a token.
func (s platformStore) PutSecret(ctx context.Context, path string, stored driver.StoredSecret) (int64, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return 0, err
	}
	return conn.PutSecret(audit.Begun(ctx), path, stored)
}

func (s platformStore) MayPutSecret(ctx context.Context, path string, stored driver.StoredSecret) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	return conn.MayPutSecret(ctx, path, stored)
}

func (s platformStore) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return driver.StoredSecret{}, err
	}
	return conn.GetSecret(ctx, path)
}

func (s platformStore) RemoveSecret(ctx context.Context, path string) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	return conn.RemoveSecret(ctx, path)
}
