package aws

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// attempts bounds how often a user is emptied and deleted, while others keep adding to it.
const attempts = 3

// DeleteAccount removes everything that a user must not have when it is deleted (AWS answers DeleteConflict else), first
// what it logs in with, then the user.
func (d *awsDriver) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return gone(err)
	}
	if err := d.remove(ctx, u.name); err != nil {
		return err
	}
	d.fresh.drop("user:" + u.name)
	return d.seen(ctx, "user "+u.name, func() (bool, error) {
		now, err := d.user(ctx, u.name)
		return isAbsent(err) || (err == nil && now.id != u.id), gone(err)
	})
}

func (d *awsDriver) remove(ctx context.Context, name string) error {
	var err error
	for range attempts {
		if err = d.empty(ctx, name); err != nil {
			return gone(err)
		}
		_, err = d.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &name})
		if err == nil || classify(err).Code != driver.Conflict {
			return gone(err)
		}
	}
	return err
}

// empty takes from a user all that is not the user. What a server does not know of, its users do not have.
func (d *awsDriver) empty(ctx context.Context, name string) error {
	keys, err := d.keys(ctx, name)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := d.dropKey(ctx, name, k.id); err != nil {
			return err
		}
	}
	for _, clear := range []func(context.Context, string) error{
		d.dropLogin, d.dropDevices, d.dropPublicKeys, d.dropCertificates, d.dropServiceCredentials,
	} {
		if err := lacks(clear(ctx, name)); err != nil {
			return err
		}
	}
	now, err := d.rights(ctx, name)
	if err != nil {
		return err
	}
	for _, e := range now.entitlements {
		if err := d.take(ctx, name, e); err != nil {
			return err
		}
	}
	return d.deleteInline(ctx, name, denyAll)
}

// dropLogin removes the password for the console.
func (d *awsDriver) dropLogin(ctx context.Context, name string) error {
	_, err := d.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: &name})
	return gone(err)
}

func (d *awsDriver) dropDevices(ctx context.Context, name string) error {
	pages := iam.NewListMFADevicesPaginator(d.iam, &iam.ListMFADevicesInput{UserName: &name, MaxItems: &d.pageSize})
	return each(ctx, pages, func(page *iam.ListMFADevicesOutput) error {
		for _, device := range page.MFADevices {
			serial := device.SerialNumber
			_, err := d.iam.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: &name, SerialNumber: serial})
			if err := gone(err); err != nil {
				return err
			}
			// A virtual device is known by an ARN; it would stay behind. A piece of hardware is not AWS's to delete.
			if _, err := d.iam.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: serial}); !isHardware(serial, err) {
				if err := gone(err); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func isHardware(serial *string, err error) bool {
	return err != nil && len(aws.ToString(serial)) > 0 && aws.ToString(serial)[0] != 'a'
}

func (d *awsDriver) dropPublicKeys(ctx context.Context, name string) error {
	pages := iam.NewListSSHPublicKeysPaginator(d.iam, &iam.ListSSHPublicKeysInput{UserName: &name, MaxItems: &d.pageSize})
	return each(ctx, pages, func(page *iam.ListSSHPublicKeysOutput) error {
		var errs []error
		for _, k := range page.SSHPublicKeys {
			_, err := d.iam.DeleteSSHPublicKey(ctx, &iam.DeleteSSHPublicKeyInput{UserName: &name, SSHPublicKeyId: k.SSHPublicKeyId})
			errs = append(errs, gone(err))
		}
		return errors.Join(errs...)
	})
}

func (d *awsDriver) dropCertificates(ctx context.Context, name string) error {
	pages := iam.NewListSigningCertificatesPaginator(d.iam, &iam.ListSigningCertificatesInput{UserName: &name, MaxItems: &d.pageSize})
	return each(ctx, pages, func(page *iam.ListSigningCertificatesOutput) error {
		var errs []error
		for _, c := range page.Certificates {
			_, err := d.iam.DeleteSigningCertificate(ctx, &iam.DeleteSigningCertificateInput{UserName: &name, CertificateId: c.CertificateId})
			errs = append(errs, gone(err))
		}
		return errors.Join(errs...)
	})
}

func (d *awsDriver) dropServiceCredentials(ctx context.Context, name string) error {
	out, err := d.iam.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: &name})
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range out.ServiceSpecificCredentials {
		_, err := d.iam.DeleteServiceSpecificCredential(ctx, &iam.DeleteServiceSpecificCredentialInput{
			UserName: &name, ServiceSpecificCredentialId: c.ServiceSpecificCredentialId,
		})
		errs = append(errs, gone(err))
	}
	return errors.Join(errs...)
}
