#!/usr/bin/env python3
"""Receipts of the built `api` under Amazon's emulator, signed by moto's KMS, and verified by three
libraries: `campaigns receipt verify` (jsonwebtoken), PyJWT, and jose of npm. All have to take the
receipt, and none one with a character changed. Then keys are changed, and one does not exist. moto 5.2.5 hashes
a digest once more, which KMS does not (API reference, Sign): with it as it is, `api` sends no receipt,
since the signature is not one of the key; then it is mended.

    tests/emulator/receipts.py --bootstrap FILE --emulator FILE --campaigns FILE --jose FOLDER

Run with a Python that has moto[server] and PyJWT. FOLDER has node_modules with jose. Everything
listens on 127.0.0.1 and is stopped by its process id."""

import argparse
import json
import logging
import os
import pathlib
import shutil
import subprocess
import tempfile

os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")

import boto3  # noqa: E402
import jwt  # noqa: E402
from cryptography.hazmat.primitives import hashes  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: E402
from moto.kms.utils import ECDSAPrivateKey  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

from emulated import api, check, embedded, event, expect, seed  # noqa: E402

HERE = pathlib.Path(__file__).parent
TYPE = "deletion-receipt+jwt"
# moto's server writes a line for each request.
logging.getLogger("werkzeug").setLevel(logging.ERROR)


def get(path, **parameters):
    asked = event("get-deletion")
    asked["rawPath"] = asked["requestContext"]["http"]["path"] = path
    asked["pathParameters"] = parameters
    return asked


def by_pyjwt(receipt, keys):
    """What a receipt says, or None if it does not hold."""
    try:
        header = jwt.get_unverified_header(receipt)
        key = next(key for key in jwt.PyJWKSet.from_dict(keys).keys if key.key_id == header.get("kid"))
        if header.get("typ") != TYPE:
            return None
        return jwt.decode(receipt, key, algorithms=["ES256"])
    except (jwt.PyJWTError, StopIteration):
        return None


def by_jose(options, receipts, keys):
    """The same of each receipt."""
    # Node looks for libraries beside the script.
    script = shutil.copy(HERE / "receipts.mjs", options.jose)
    lines = "".join(json.dumps({"receipt": receipt, "keys": keys}) + "\n" for receipt in receipts)
    ran = subprocess.run(["node", script], input=lines, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def by_terminal(options, folder, receipt, keys):
    """What the terminal says that a receipt says, or None if it exits with 1."""
    (folder / "receipt.jws").write_text(receipt)
    (folder / "jwks.json").write_text(json.dumps(keys))
    command = [options.campaigns, "receipt", "verify", folder / "receipt.jws", "--jwks", folder / "jwks.json", "--json"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if ran.returncode == 1:
        return None
    expect("exit code", ran.returncode, 0)
    return json.loads(ran.stdout)


def changed(receipt):
    """The receipt with each character changed in turn. The last one of the signature has four bits that
    stand for nothing, and lenient decoders ignore them: it is changed in the others."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for at, character in enumerate(receipt):
        if character == ".":
            other = "A"
        elif at == len(receipt) - 1:
            other = alphabet[(alphabet.index(character) + 16) % 64]
        else:
            other = alphabet[(alphabet.index(character) + 1) % 64]
        yield receipt[:at] + other + receipt[at + 1 :]


def sign_digest(key, digest, algorithm):
    """As KMS signs where MessageType is DIGEST, which is what `api` asks for."""
    expect("the algorithm", algorithm, "ECDSA_SHA_256")
    return key.private_key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for option in ("bootstrap", "emulator", "campaigns", "jose"):
        parser.add_argument(f"--{option}", required=True)
    options = parser.parse_args()
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    with embedded(options) as endpoint, tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        url = "http://{}:{}".format(*moto.get_host_and_port())
        kms = boto3.client("kms", endpoint_url=url)
        make = lambda: kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
        first, second = make(), make()
        signing = lambda *arns: api(
            options, endpoint, AWS_ENDPOINT_URL_KMS=url, RECEIPT_KEY_IDS=",".join(arns), PITR_DAYS="35"
        )
        seed(options, endpoint, "campaign_7", 100)
        with signing(first) as (_, send):
            _, body = send(event("delete", "campaign_7"))
            deletion = body["deletionSummary"]["deletionId"]
            receipt_of = get(f"/v1/deletions/{deletion}/receipt", deletionId=deletion)
            status, body = send(receipt_of)
            check("with a wrong signature", (status, body["error"]), (503, "unavailable"))
            ECDSAPrivateKey.sign = sign_digest
            status, body = send(receipt_of)
            check("a receipt", status, 200)
            receipt, claims = body["receipt"], body["claims"]
            status, keys = send(get("/v1/jwks.json"))
            check("published keys", (status, len(keys["keys"])), (200, 1))
        check("it names the deletion", (claims["jti"], claims["sub"]), (deletion, "campaign_7"))
        check("by PyJWT", by_pyjwt(receipt, keys) == claims, True)
        check("by jose", by_jose(options, [receipt], keys) == [claims], True)
        check("by the terminal", by_terminal(options, folder, receipt, keys) == claims, True)

        every = list(changed(receipt))
        held = [each for each in every if by_pyjwt(each, keys) is not None]
        check(f"of {len(every)} that are changed, by PyJWT", held, [])
        held = [each for each in by_jose(options, every, keys) if each is not None]
        check(f"of {len(every)} that are changed, by jose", held, [])
        # The unit test of the terminal has every byte; here it is the built program.
        some = every[::97] + every[-1:]
        held = [each for each in some if by_terminal(options, folder, each, keys) is not None]
        check(f"of {len(some)} that are changed, by the terminal", held, [])

        with signing(second, first) as (_, send):
            _, body = send(receipt_of)
            _, both = send(get("/v1/jwks.json"))
        check("keys after a change", len(both["keys"]), 2)
        for each in (receipt, body["receipt"]):
            said = [by_pyjwt(each, both), *by_jose(options, [each], both), by_terminal(options, folder, each, both)]
            check("each still verifies", [one is not None and one["jti"] for one in said], [deletion] * 3)
        check("with the old keys alone, the new one", by_terminal(options, folder, body["receipt"], keys), None)

        # moto signs with a disabled key, too: tests/it/receipts/signing.rs has that.
        with signing(first[:-1]) as (_, send):
            status, body = send(receipt_of)
        check("by a key that does not exist", (status, body["error"]), (503, "unavailable"))
    moto.stop()


if __name__ == "__main__":
    main()
