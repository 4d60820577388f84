"""A SQL Server as far as transparent data encryption is concerned: the views and statements of Microsoft's "Transparent
data encryption", with its errors by number and text; everything else is a syntax error (102).

Statements are read by the grammar of the T-SQL reference, one to a batch. What each brings is seen by all sessions.
"""
import hashlib
import re
import struct
import threading

import tds_server
from tds_server import b_varchar, us_varchar, utf16

NAME = r"\[((?:[^\]]|\]\])+)\]"
TEXT = r"N'((?:[^']|'')*)'"
MESSAGES = {
    102: "Incorrect syntax near '%s'.",
    207: "Invalid column name '%s'.",
    300: "%s permission was denied on object 'server', database 'master'.",
    911: "Database '%s' does not exist. Make sure that the name is entered correctly.",
    5069: "ALTER DATABASE statement failed.",
    15118: "Password validation failed. The password does not meet the operating system policy requirements because it "
           "is not complex enough.",
    15151: "Cannot find the certificate '%s', because it does not exist or you do not have permission.",
    15232: "A certificate with name '%s' already exists or this certificate already has been added to the database.",
    15240: "Cannot write into file '%s'. Verify that you have write permissions, that the file path is valid, and that "
           "the file does not already exist.",
    15297: "The certificate, asymmetric key, or private key data is invalid.",
    15578: "There is already a master key in the database. Please drop it before performing this statement.",
    15581: "Please create a master key in the database or open the master key in the session before performing this "
           "operation.",
    33101: "Cannot use certificate '%s', because its private key is not present or it is not protected by the database "
           "master key.",
    33102: "Cannot encrypt a system database. Database encryption operations cannot be performed for 'master', 'model', "
           "'tempdb', 'msdb', or 'resource' databases.",
    33103: "A database encryption key already exists for this database.",
    33106: "Cannot change database encryption state because no database encryption key is set.",
    33107: "Cannot enable database encryption because it is already enabled.",
    33117: "Transparent Data Encryption is not available in the edition of this SQL Server instance.",
    33118: "Cannot enable or modify database encryption on a database that is read-only, has read-only files or is not "
           "recovered.",
}
SYSTEM = {"master", "model", "msdb", "tempdb"}


class Refused(Exception):
    def __init__(self, *numbers, name=""):
        self.numbers, self.name = numbers, name


class Server:
    """What all sessions share."""

    def __init__(self, options):
        self.lock = threading.Lock()
        self.options = options
        self.databases = {name: None for name in SYSTEM | set(options.database)}
        self.master_key = options.master_key
        self.certificates = {}
        if options.password_certificate:
            self.certificates[options.password_certificate] = {"kind": "PW", "backup": None}
        self.files = set()


class Session(tds_server.Session):
    server = None
    creating = threading.Lock()

    def __init__(self, connection, options, log):
        super().__init__(connection, options, log)
        with Session.creating:
            Session.server = Session.server or Server(options)
        self.current = "master"
        self.statements = [
            (r"USE %s" % NAME, self.use),
            (r"CREATE MASTER KEY ENCRYPTION BY PASSWORD = %s" % TEXT, self.create_master_key),
            (r"CREATE CERTIFICATE %s WITH SUBJECT = %s" % (NAME, TEXT), self.create_certificate),
            (r"BACKUP CERTIFICATE %s TO FILE = %s WITH PRIVATE KEY \(FILE = %s, ENCRYPTION BY PASSWORD = %s\)"
             % (NAME, TEXT, TEXT, TEXT), self.back_up),
            (r"CREATE DATABASE ENCRYPTION KEY WITH ALGORITHM = (AES_128|AES_192|AES_256) "
             r"ENCRYPTION BY SERVER CERTIFICATE %s" % NAME, self.create_key),
            (r"ALTER DATABASE %s SET ENCRYPTION ON" % NAME, self.encrypt),
            (r"SELECT d\.state_desc, CONVERT\(int, d\.is_encrypted\) FROM sys\.databases AS d WHERE d\.name = %s" % TEXT,
             self.select_database),
            (r"SELECT k\.encryption_state, k\.percent_complete, k\.key_algorithm, k\.key_length, (k\.encryptor_type|N'') "
             r"FROM sys\.dm_database_encryption_keys AS k WHERE k\.database_id = DB_ID\(%s\)" % TEXT, self.select_key),
            (r"SELECT COUNT\(\*\) FROM master\.sys\.symmetric_keys AS k WHERE k\.name = N'##MS_DatabaseMasterKey##'",
             self.select_master_key),
            (r"SELECT c\.name, c\.pvt_key_encryption_type, CONVERT\(nvarchar\(30\), c\.pvt_key_last_backup_date, 126\) "
             r"FROM master\.sys\.certificates AS c WHERE c\.name = %s" % TEXT, self.select_certificate),
            (r"SELECT c\.name, c\.pvt_key_encryption_type, CONVERT\(nvarchar\(30\), c\.pvt_key_last_backup_date, 126\) "
             r"FROM master\.sys\.certificates AS c WHERE c\.thumbprint = \(SELECT k\.encryptor_thumbprint FROM "
             r"sys\.dm_database_encryption_keys AS k WHERE k\.database_id = DB_ID\(%s\)\)" % TEXT,
             self.select_certificate_of_key),
        ]

    def answer(self, kind, payload):
        if kind != 1:
            return super().answer(kind, payload)
        start = struct.unpack("<I", payload[:4])[0]
        batch = payload[start:].decode("utf-16-le")
        # What was hidden from people must not be found in a log either.
        self.seen(batch=re.sub(r"PASSWORD = N'(?:[^']|'')*'", "PASSWORD = N'...'", batch),
                  tls=self.tls.version() if self.tls else None)
        with self.server.lock:
            try:
                self.send_message(self.run_batch(batch))
            except Refused as refused:
                errors = b"".join(
                    self.error(MESSAGES[n] % refused.name if "%s" in MESSAGES[n] else MESSAGES[n], n)
                    for n in refused.numbers)
                self.send_message(errors + self.done(2))

    def run_batch(self, batch):
        for pattern, action in self.statements:
            match = re.fullmatch(pattern + ";", batch)
            if match:
                values = [value.replace("]]", "]").replace("''", "'") for value in match.groups()]
                return action(*values)
        raise Refused(102, name=batch.split(" ")[0])

    # MARK: statements

    def use(self, name):
        if name not in self.server.databases:
            raise Refused(911, name=name)
        self.current = name
        text = "Changed database context to '%s'." % name
        return self.change(1, b_varchar(name), b_varchar("master")) + self.info(text, 5701) + self.done()

    def create_master_key(self, password):
        if self.current != "master":
            raise Refused(102, name="master key for TDE outside of master")
        if self.server.master_key:
            raise Refused(15578)
        self.check(password)
        self.server.master_key = True
        self.seen(master_key=hashlib.sha256(password.encode()).hexdigest())
        return self.done()

    def create_certificate(self, name, subject):
        if self.current != "master":
            raise Refused(102, name="certificate for TDE outside of master")
        if not self.server.master_key:
            raise Refused(15581)
        if name in self.server.certificates:
            raise Refused(15232, name=name)
        if not 0 < len(subject) <= 64:
            raise Refused(15297)
        self.server.certificates[name] = {"kind": "MK", "backup": None}
        return self.done()

    def back_up(self, name, path, key_path, password):
        if name not in self.server.certificates:
            raise Refused(15151, name=name)
        for file in (path, key_path):
            if file in self.server.files or not file:
                raise Refused(15240, name=file)
        self.check(password)
        self.server.files |= {path, key_path}
        self.server.certificates[name]["backup"] = "2026-11-25T12:00:00"
        self.seen(backup=[path, key_path])
        return self.done()

    def create_key(self, algorithm, certificate):
        if self.options.edition == "express":
            raise Refused(33117)
        if self.current in SYSTEM:
            raise Refused(33102)
        if self.server.databases[self.current]:
            raise Refused(33103)
        if certificate not in self.server.certificates:
            raise Refused(15151, name=certificate)
        if self.server.certificates[certificate]["kind"] != "MK":
            raise Refused(33101, name=certificate)
        self.server.databases[self.current] = {
            "state": 1, "percent": 0.0, "length": int(algorithm[4:]), "certificate": certificate}
        warning = b"" if self.server.certificates[certificate]["backup"] else self.info(
            "Warning: The certificate used for encrypting the database encryption key has not been backed up.", 33091)
        return warning + self.done()

    def encrypt(self, name):
        if name not in self.server.databases:
            raise Refused(911, 5069, name=name)
        key = self.server.databases[name]
        if not key:
            raise Refused(33106, 5069)
        if self.options.read_only:
            raise Refused(33118, 5069)
        if key["state"] != 1:
            raise Refused(33107, 5069)
        key["state"] = 2
        return self.done()

    @staticmethod
    def check(password):
        kinds = [r"[a-z]", r"[A-Z]", r"[0-9]", r"[^a-zA-Z0-9]"]
        if len(password) < 8 or sum(bool(re.search(kind, password)) for kind in kinds) < 3:
            raise Refused(15118)

    # MARK: views

    def select_database(self, name):
        if name not in self.server.databases:
            return self.table([("state_desc", "nvarchar"), ("", "int")], [])
        key = self.server.databases[name]
        encrypted = int(bool(key) and key["state"] > 1)
        return self.table([("state_desc", "nvarchar"), ("", "int")], [["ONLINE", encrypted]])

    def select_key(self, encryptor, name):
        if self.options.deny:
            raise Refused(300, name="VIEW SERVER STATE")
        if self.options.old and encryptor == "k.encryptor_type":
            raise Refused(207, name="encryptor_type")
        columns = [("encryption_state", "int"), ("percent_complete", "real"), ("key_algorithm", "nvarchar"),
                   ("key_length", "int"), ("encryptor_type", "nvarchar")]
        key = self.server.databases.get(name)
        if not key:
            return self.table(columns, [])
        row = [key["state"], key["percent"], "AES", key["length"], "" if self.options.old else "CERTIFICATE"]
        if key["state"] == 2 and not self.options.stalled:
            # Every look finds more done.
            key["percent"] += 37.5
            if key["percent"] > 100:
                key["state"], key["percent"] = 3, 0.0
        return self.table(columns, [row])

    def select_master_key(self):
        return self.table([("", "int")], [[int(self.server.master_key)]])

    def select_certificate(self, name):
        found = self.server.certificates.get(name)
        columns = [("name", "nvarchar"), ("pvt_key_encryption_type", "char"), ("", "nvarchar")]
        return self.table(columns, [[name, found["kind"], found["backup"]]] if found else [])

    def select_certificate_of_key(self, database):
        key = self.server.databases.get(database)
        return self.select_certificate(key["certificate"] if key else None)

    # MARK: tokens

    def info(self, text, number):
        body = struct.pack("<iBB", number, 1, 0) + us_varchar(text) + b_varchar("test") + b_varchar("")
        body += struct.pack("<I", 1)
        return b"\xab" + struct.pack("<H", len(body)) + body

    def table(self, columns, rows):
        """COLMETADATA and rows; one with a NULL goes as NBCROW, the others as ROW."""
        collation = b"\x09\x04\xd0\x00\x34"
        types = {"int": b"\x26\x04", "real": b"\x6d\x04", "nvarchar": b"\xe7\x00\x01" + collation,
                 "char": b"\xaf\x02\x00" + collation}
        payload = b"\x81" + struct.pack("<H", len(columns))
        for name, kind in columns:
            payload += struct.pack("<IH", 0, 9) + types[kind] + b_varchar(name)
        for row in rows:
            bits = sum(1 << index for index, value in enumerate(row) if value is None)
            payload += b"\xd2" + bits.to_bytes((len(row) + 7) // 8, "little") if bits else b"\xd1"
            for (_, kind), value in zip(columns, row):
                if value is None:
                    continue
                if kind == "int":
                    payload += b"\x04" + struct.pack("<i", value)
                elif kind == "real":
                    payload += b"\x04" + struct.pack("<f", value)
                else:
                    data = utf16(value) if kind == "nvarchar" else value.encode()
                    payload += struct.pack("<H", len(data)) + data
        return payload + self.done(0x10, len(rows))


def add_arguments(parser):
    parser.add_argument("--database", action="append", default=[])
    parser.add_argument("--master-key", action="store_true")
    parser.add_argument("--password-certificate")
    parser.add_argument("--edition", default="enterprise", choices=["enterprise", "express"])
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--deny", action="store_true")
    parser.add_argument("--old", action="store_true")
    parser.add_argument("--stalled", action="store_true")


if __name__ == "__main__":
    tds_server.main(Session, add_arguments)
