# As a domain admin: what the login nhi may do, and nothing else.
$accounts = "OU=Service Accounts,DC=corp,DC=example,DC=com"
$groups   = "OU=Groups,DC=corp,DC=example,DC=com"

dsacls $accounts /I:T /G "CORP\nhi:CCDC;user"     # create and delete users
dsacls $accounts /I:S /G "CORP\nhi:GA;;user"      # change these users: password, flags, description, expiry
dsacls $groups   /I:S /G "CORP\nhi:WP;member;group" # take accounts into groups and out of them
