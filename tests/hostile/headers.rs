//! Headers, cookies and addresses: what comes from outside is not believed, what names a server does not leave.
