"""Fills an empty Samba domain, as the administrator of a real one would with dsacls. Input: JSON with the path of smb.conf
and the passwords."""
import json
import sys

from samba.auth import system_session
from samba.dsdb import UF_DONT_EXPIRE_PASSWD, UF_NORMAL_ACCOUNT
from samba.ndr import ndr_unpack
from samba.dcerpc import security
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

wish = json.load(sys.stdin)
lp = LoadParm(wish["conf"])
db = SamDB(session_info=system_session(), lp=lp)
base = str(db.get_default_basedn())

for unit in ("accounts", "groups", "admins", "locked"):
    db.add({"dn": f"OU={unit},{base}", "objectClass": "organizationalUnit"})
db.setpassword("(sAMAccountName=Administrator)", wish["root"])
sids = {}
for name in ("nhi", "reader"):
    dn = f"CN={name},OU=admins,{base}"
    db.add({"dn": dn, "objectClass": "user", "sAMAccountName": name})
    db.setpassword(f"(sAMAccountName={name})", wish[name])
    flags = UF_NORMAL_ACCOUNT | UF_DONT_EXPIRE_PASSWD
    db.modify_ldif(f"dn: {dn}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: {flags}\n")
    found = db.search(dn, scope=0, attrs=["objectSid"])[0]["objectSid"][0]
    sids[name] = str(ndr_unpack(security.dom_sid, found))

# What the guide of the platform asks for.
USER = "bf967aba-0de6-11d0-a285-00aa003049e2"
GROUP = "bf967a9c-0de6-11d0-a285-00aa003049e2"
MEMBER = "bf9679c0-0de6-11d0-a285-00aa003049e2"
rights = SDUtils(db)
rights.dacl_add_ace(f"OU=accounts,{base}", f"(OA;CI;CCDC;{USER};;{sids['nhi']})")
rights.dacl_add_ace(f"OU=accounts,{base}", f"(OA;CIIO;GA;;{USER};{sids['nhi']})")
rights.dacl_add_ace(f"OU=groups,{base}", f"(OA;CIIO;WP;{MEMBER};{GROUP};{sids['nhi']})")
# For tests: accounts can be made here and get no password.
rights.dacl_add_ace(f"OU=locked,{base}", f"(OA;CI;CCDC;{USER};;{sids['nhi']})")
