#!/usr/bin/env python3
"""Checks recorded requests against the service models that botocore ships, so that a lenient emulator hides nothing:
required and unknown members, types, ranges, enumerations, patterns, and, where the secret key is given, the signature.

  validate_requests.py RECORDING [--secret ACCESS_KEY=SECRET]... [--allow-unsigned]

RECORDING has one JSON object a line, as proxy.py writes it. Prints each problem, then a count by operation; exits 1 if there was one.
"""
import argparse
import base64
import binascii
import collections
import json
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

import botocore.loaders
import botocore.model
import botocore.validate
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

# Headers and parameters that belong to the protocol or to signing, not to an operation.
COMMON_HEADERS = {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-amz-target", "x-amz-user-agent"}
NUMBER = re.compile(r"-?\d+")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Problem(Exception):
    pass


class Models:
    """Service models by the name that requests are signed for, and by protocol family."""

    def __init__(self):
        self.loader = botocore.loaders.Loader()
        self.by_signing_name = collections.defaultdict(list)
        self.loaded = {}

    def load(self, service):
        if service not in self.loaded:
            self.loaded[service] = botocore.model.ServiceModel(self.loader.load_service_model(service, "service-2"), service)
        return self.loaded[service]

    def candidates(self, signing_name):
        """Several services can be signed alike: load balancers of two generations are both "elasticloadbalancing"."""
        if not self.by_signing_name:
            for service in self.loader.list_available_services("service-2"):
                # Most service names are the signing name or share its beginning; only those that differ have to be opened.
                self.by_signing_name[service].append(service)
            self.by_signing_name["elasticloadbalancing"] += ["elbv2", "elb"]
            self.by_signing_name["monitoring"].append("cloudwatch")
            self.by_signing_name["servicequotas"].append("service-quotas")
            self.by_signing_name["execute-api"] = []
            self.by_signing_name["states"].append("stepfunctions")
        found = [self.load(name) for name in self.by_signing_name.get(signing_name, [])]
        return [model for model in found if model.signing_name == signing_name]


# ---- from the wire to the parameters that a program would have passed ----


def scalar(shape, text, where):
    kind = shape.type_name
    if kind in ("integer", "long"):
        if not NUMBER.fullmatch(text):
            raise Problem(f"{where}: '{text}' is no whole number")
        return int(text)
    if kind in ("float", "double"):
        return float(text)
    if kind == "boolean":
        if text not in ("true", "false"):
            raise Problem(f"{where}: '{text}' is neither 'true' nor 'false'")
        return text == "true"
    if kind == "timestamp":
        if shape.serialization.get("timestampFormat") != "rfc822" and not TIME.fullmatch(text) and not NUMBER.fullmatch(text):
            raise Problem(f"{where}: '{text}' is no time")
        return text
    if kind == "blob":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as problem:
            raise Problem(f"{where}: not base64") from problem
    return text


def from_json(shape, value, where, by_wire_name=True):
    kind = shape.type_name
    if value is None:
        raise Problem(f"{where}: null")
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return value
        if not isinstance(value, dict):
            raise Problem(f"{where}: {type(value).__name__}, not an object")
        names = {member.serialization.get("name", name): name for name, member in shape.members.items()}
        out = {}
        for wire, part in value.items():
            if wire not in names:
                raise Problem(f"{where}: unknown member '{wire}'")
            out[names[wire]] = from_json(shape.members[names[wire]], part, f"{where}.{names[wire]}")
        return out
    if kind == "list":
        if not isinstance(value, list):
            raise Problem(f"{where}: {type(value).__name__}, not a list")
        return [from_json(shape.member, part, f"{where}[{at}]") for at, part in enumerate(value)]
    if kind == "map":
        if not isinstance(value, dict):
            raise Problem(f"{where}: {type(value).__name__}, not an object")
        return {key: from_json(shape.value, part, f"{where}.{key}") for key, part in value.items()}
    if kind == "blob":
        return scalar(shape, value, where) if isinstance(value, str) else value
    if kind == "timestamp":
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise Problem(f"{where}: a time travels as a number here, not as {json.dumps(value)}")
        return value
    return value  # the type is botocore's to check


def name_in_form(name, member, ec2):
    if ec2:
        given = member.serialization.get("queryName")
        plain = member.serialization.get("name", name)
        return given or plain[0].upper() + plain[1:]
    if member.type_name == "list" and member.serialization.get("flattened"):
        return member.member.serialization.get("name", member.serialization.get("name", name))
    return member.serialization.get("name", name)


def from_form(shape, form, prefix, where, used, ec2=False):
    """Query protocol: a.b.member.1=value; EC2's dialect: A.b.1=value."""
    kind = shape.type_name
    if kind == "structure":
        out = {}
        for name, member in shape.members.items():
            wire = name_in_form(name, member, ec2)
            part = from_form(member, form, f"{prefix}.{wire}" if prefix else wire, f"{where}.{name}", used, ec2)
            if part is not None:
                out[name] = part
        return out or None
    if kind == "list":
        inner = prefix if ec2 or shape.serialization.get("flattened") \
            else f"{prefix}.{shape.member.serialization.get('name', 'member')}"
        out = []
        while any(key == f"{inner}.{len(out) + 1}" or key.startswith(f"{inner}.{len(out) + 1}.") for key in form):
            out.append(from_form(shape.member, form, f"{inner}.{len(out) + 1}", f"{where}[{len(out)}]", used, ec2))
        if prefix in form and form[prefix] == "":
            used.add(prefix)
            return []
        return out or None
    if kind == "map":
        inner = prefix if shape.serialization.get("flattened") else f"{prefix}.entry"
        key_name, value_name = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
        out = {}
        while f"{inner}.{len(out) + 1}.{key_name}" in form:
            base = f"{inner}.{len(out) + 1}"
            used.add(f"{base}.{key_name}")
            out[form[f"{base}.{key_name}"]] = from_form(shape.value, form, f"{base}.{value_name}", f"{where}.{base}", used)
        return out or None
    if prefix not in form:
        return None
    used.add(prefix)
    return scalar(shape, form[prefix], where)


def local(tag):
    return tag.rpartition("}")[2]


def from_xml(shape, element, where):
    kind = shape.type_name
    if kind == "structure":
        names = {}
        for name, member in shape.members.items():
            wire = member.serialization.get("name", name)
            if member.type_name == "list" and member.serialization.get("flattened"):
                wire = member.serialization.get("name") or member.member.serialization.get("name", name)
            names[wire] = name
        out = {}
        for name, member in shape.members.items():
            if member.serialization.get("xmlAttribute"):
                wire = member.serialization["name"].rpartition(":")[2]
                for attribute, value in element.attrib.items():
                    if local(attribute) == wire:
                        out[name] = value
        for child in element:
            if local(child.tag) not in names:
                raise Problem(f"{where}: unknown member '{local(child.tag)}'")
            name = names[local(child.tag)]
            member = shape.members[name]
            if member.type_name == "list" and member.serialization.get("flattened"):
                out.setdefault(name, []).append(from_xml(member.member, child, f"{where}.{name}"))
            elif name in out:
                raise Problem(f"{where}: '{name}' stands there twice")
            else:
                out[name] = from_xml(member, child, f"{where}.{name}")
        return out
    if kind == "list":
        wire = shape.member.serialization.get("name", "member")
        for child in element:
            if local(child.tag) != wire:
                raise Problem(f"{where}: '{local(child.tag)}' in a list of '{wire}'")
        return [from_xml(shape.member, child, f"{where}[{at}]") for at, child in enumerate(element)]
    return scalar(shape, element.text or "", where)


# ---- which operation, and its parameters ----


def required_outside(operation, query, headers):
    """How many members that must stand in the query or in a header are there, and how many are not."""
    present = missing = 0
    for name in operation.input_shape.required_members if operation.input_shape else ():
        serialization = operation.input_shape.members[name].serialization
        place = {"querystring": query, "header": headers}.get(serialization.get("location"))
        if place is not None:
            wire = serialization.get("name", name)
            found = (wire if place is query else wire.lower()) in place
            present, missing = present + found, missing + (not found)
    return present, missing


def route(model, method, target, headers):
    """@return the operation whose method, path, fixed query and required parts fit best, and the values of its path."""
    path, _, query = target.partition("?")
    given = urllib.parse.parse_qs(query, keep_blank_values=True)
    best = None
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.http["method"] != method:
            continue
        template, _, fixed = operation.http["requestUri"].partition("?")
        fixed = urllib.parse.parse_qs(fixed, keep_blank_values=True)
        if any(given.get(key) is None or (values != [""] and given[key] != values) for key, values in fixed.items()):
            continue
        pattern = ""
        for part in re.split(r"(\{[^}]+\})", template.rstrip("/") or "/"):
            label = part[1:-1] if part.startswith("{") else None
            if label is None:
                pattern += re.escape(part)
            else:
                pattern += f"(?P<{label.rstrip('+')}>{'.+' if label.endswith('+') else '[^/]+'})"
        match = re.fullmatch(pattern + "/?", path)
        if match:
            present, missing = required_outside(operation, given, headers)
            rank = (-missing, len(fixed), present, -len(match.groupdict()), len(template))
            if best is None or rank > best[0]:
                best = (rank, operation, {k: urllib.parse.unquote(v) for k, v in match.groupdict().items()}, fixed)
    return best


def read_rest(model, entry, body):
    headers = {name.lower(): value for name, value in entry["headers"]}
    found = route(model, entry["method"], entry["path"], headers)
    if not found:
        raise Problem(f"no operation has '{entry['method']} {entry['path']}'")
    _, operation, labels, fixed = found
    shape = operation.input_shape
    query = urllib.parse.parse_qs(entry["path"].partition("?")[2], keep_blank_values=True)
    params, known_query, known_headers, prefixes = {}, set(fixed) | {"x-id"}, set(COMMON_HEADERS), []
    in_body = {}
    for name, member in (shape.members.items() if shape else ()):
        where, wire = member.serialization.get("location"), member.serialization.get("name", name)
        if where == "uri":
            params[name] = scalar(member, labels[wire], name)
        elif where == "querystring":
            known_query.add(wire)
            if wire in query:
                values = query[wire]
                params[name] = [scalar(member.member, v, name) for v in values] if member.type_name == "list" \
                    else scalar(member, values[0], name)
        elif where == "header":
            known_headers.add(wire.lower())
            if wire.lower() in headers:
                value = headers[wire.lower()]
                params[name] = [value] if member.type_name == "list" else scalar(member, value, name)
        elif where == "headers":
            prefixes.append(wire.lower())
            params[name] = {key[len(wire):]: value for key, value in headers.items() if key.startswith(wire.lower())}
        else:
            in_body[name] = member
    for key in query:
        if key not in known_query:
            raise Problem(f"unknown parameter '{key}' in the query")
    for key in headers:
        if key.startswith("x-amz-") and key not in known_headers and not any(key.startswith(p) for p in prefixes) \
                and not key.startswith(("x-amz-checksum-", "x-amz-sdk-", "x-amz-trailer")):
            raise Problem(f"unknown header '{key}'")
    params.update(read_rest_body(model, shape, in_body, body))
    return operation, params


def read_rest_body(model, shape, in_body, body):
    payload = shape.serialization.get("payload") if shape else None
    if payload:
        member = shape.members[payload]
        if not body:
            return {}
        if member.type_name in ("blob", "string"):
            return {payload: body if member.type_name == "blob" else body.decode()}
        if model.protocol == "rest-json":
            return {payload: from_json(member, json.loads(body), payload)}
        root = ElementTree.fromstring(body)
        wire = member.serialization.get("name", member.name)
        if local(root.tag) != wire:
            raise Problem(f"the document is a '{local(root.tag)}', not a '{wire}'")
        check_namespace(member.serialization, root)
        return {payload: from_xml(member, root, payload)}
    if not body or body.strip() in (b"{}",):
        return {}
    if not in_body:
        raise Problem("it has a body, and the operation takes none")
    if model.protocol == "rest-json":
        names = {member.serialization.get("name", name): name for name, member in in_body.items()}
        out = {}
        for wire, part in json.loads(body).items():
            if wire not in names:
                raise Problem(f"unknown member '{wire}'")
            out[names[wire]] = from_json(in_body[names[wire]], part, names[wire])
        return out
    root = ElementTree.fromstring(body)
    wire = shape.serialization.get("name", shape.name)
    if local(root.tag) != wire:
        raise Problem(f"the document is a '{local(root.tag)}', not a '{wire}'")
    check_namespace(shape.serialization, root)
    return from_xml(shape, root, shape.name)


def check_namespace(serialization, root):
    wanted = serialization.get("xmlNamespace", {})
    wanted = wanted.get("uri") if isinstance(wanted, dict) else wanted
    given = root.tag[1:].partition("}")[0] if root.tag.startswith("{") else None
    if wanted and given != wanted:
        raise Problem(f"the document's namespace is '{given}', not '{wanted}'")


def read_query(model, entry, body):
    form = dict(urllib.parse.parse_qsl(entry["path"].partition("?")[2], keep_blank_values=True))
    form.update(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body)))
    version = form.pop("Version", None)
    if version != model.api_version:
        raise Problem(f"Version is '{version}', not '{model.api_version}'")
    operation = model.operation_model(form.pop("Action"))
    used = set()
    ec2 = model.protocol == "ec2"
    params = (from_form(operation.input_shape, form, "", operation.name, used, ec2) if operation.input_shape else None) or {}
    unknown = set(form) - used
    if unknown:
        raise Problem(f"unknown parameter '{sorted(unknown)[0]}'")
    return operation, params


def read_json(model, entry, body):
    headers = {name.lower(): value for name, value in entry["headers"]}
    prefix, _, name = headers["x-amz-target"].rpartition(".")
    if prefix != model.metadata["targetPrefix"]:
        raise Problem(f"X-Amz-Target begins with '{prefix}', not '{model.metadata['targetPrefix']}'")
    wanted = f"application/x-amz-json-{model.metadata.get('jsonVersion', '1.0')}"
    if headers.get("content-type") != wanted:
        raise Problem(f"Content-Type is '{headers.get('content-type')}', not '{wanted}'")
    operation = model.operation_model(name)
    return operation, from_json(operation.input_shape, json.loads(body or b"{}"), operation.name) if operation.input_shape else {}


def action_of(entry, body):
    form = dict(urllib.parse.parse_qsl(entry["path"].partition("?")[2]))
    if b"Action=" in body:
        form.update(urllib.parse.parse_qsl(body.decode(errors="replace")))
    return form.get("Action"), form.get("Version")


def read_request(models, entry):
    """@return (service model, operation model, parameters)."""
    body = entry["body"].encode() if "body" in entry else base64.b64decode(entry.get("body_base64", ""))
    signed_for = entry["service"] or ("sts" if action_of(entry, body)[1] == "2011-06-15" else "")
    candidates = models.candidates(signed_for)
    headers = {name.lower() for name, _ in entry["headers"]}
    if signed_for == "s3" and "x-amz-account-id" in headers:
        candidates = [models.load("s3control")]  # it is signed as S3 is
    if not candidates:
        raise Problem(f"no service is signed as '{signed_for}'")
    action, version = action_of(entry, body)
    last = None
    for model in candidates:
        protocols = model.metadata.get("protocols", [model.protocol])
        try:
            if "x-amz-target" in headers and "json" in protocols:
                found = read_json(model, entry, body)
            elif action and {"query", "ec2"} & set(protocols):
                if model.api_version != version and len(candidates) > 1:
                    continue
                found = read_query(model, entry, body)
            elif {"rest-xml", "rest-json"} & set(protocols):
                found = read_rest(model, entry, body)
            else:
                raise Problem(f"'{model.service_name}' does not speak this protocol")
            return model, *found
        except botocore.model.OperationNotFoundError as problem:
            last = Problem(str(problem))
    raise last or Problem(f"no service of '{signed_for}' has version '{version}'")


# ---- what botocore's own check leaves out ----

# Patterns that the vendor's own documentation and client contradict: an ARN of an access point has a slash in it.
WRONG_PATTERNS = {"MultiRegionAccessPointId"}


def extra(shape, value, where):
    """Enumerations and patterns."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        for name, part in value.items():
            if name in shape.members:
                yield from extra(shape.members[name], part, f"{where}.{name}")
    elif kind == "list" and isinstance(value, list):
        for at, part in enumerate(value):
            yield from extra(shape.member, part, f"{where}[{at}]")
    elif kind == "map" and isinstance(value, dict):
        for key, part in value.items():
            yield from extra(shape.key, key, f"{where} (key)")
            yield from extra(shape.value, part, f"{where}.{key}")
    elif kind == "string" and isinstance(value, str):
        allowed = shape.metadata.get("enum")
        if allowed and value not in allowed:
            yield f"{where}: '{value}' is none of {', '.join(allowed[:12])}"
        pattern = shape.metadata.get("pattern")
        if pattern and shape.name not in WRONG_PATTERNS:
            try:
                anchored = "^" in pattern or "$" in pattern
                fits = re.search(pattern, value) if anchored else re.fullmatch(pattern, value)
            except re.error:
                return  # a pattern of Java's that Python does not read
            if not fits:
                yield f"{where}: '{value}' does not match {pattern}"


def check_signature(entry, secrets):
    headers = {name.lower(): value for name, value in entry["headers"]}
    match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?SignedHeaders=([^,]+), ?"
                         r"Signature=([0-9a-f]{64})", headers.get("authorization", ""))
    if not match:
        raise Problem("the Authorization header is not one of SigV4")
    access_key, day, region, service, names, signature = match.groups()
    if access_key not in secrets:
        return
    for name in headers:
        if (name == "host" or name.startswith("x-amz-")) and name not in names.split(";"):
            raise Problem(f"header '{name}' is not signed")
    if not headers.get("x-amz-date", "").startswith(day):
        raise Problem("the signature's day is not that of X-Amz-Date")
    body = entry["body"].encode() if "body" in entry else base64.b64decode(entry.get("body_base64", ""))
    credentials = Credentials(access_key, secrets[access_key], headers.get("x-amz-security-token"))
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, region)
    signed = {name: headers[name] for name in names.split(";")}
    request = AWSRequest(method=entry["method"], url=f"http://{headers['host']}{entry['path']}", data=body, headers=signed)
    request.context["timestamp"] = headers["x-amz-date"]
    # AWSRequest keeps the URL's query in the URL; the canonical form is read from there.
    wanted = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if wanted != signature:
        raise Problem("the signature is not the one that botocore computes")


def check(models, entry, secrets, allow_unsigned=False):
    """@return the operation's name, and what is wrong with the request."""
    name, problems = f"{entry['service']}.{entry['operation']}", []
    try:
        model, operation, params = read_request(models, entry)
        name = f"{model.service_name}.{operation.name}"
        if operation.input_shape:
            report = botocore.validate.ParamValidator().validate(params, operation.input_shape)
            problems += report.generate_report().splitlines() if report.has_errors() else []
            problems += extra(operation.input_shape, params, operation.name)
        elif params:
            problems.append("it has parameters, and the operation takes none")
        unsigned = operation.auth_type == "none" or (operation.auth and "smithy.api#noAuth" in operation.auth)
        if entry["service"]:
            check_signature(entry, secrets)
        elif not unsigned and not allow_unsigned:
            problems.append("it is not signed")
    except (Problem, json.JSONDecodeError, ElementTree.ParseError, KeyError, ValueError) as problem:
        problems.append(f"{type(problem).__name__ + ': ' if not isinstance(problem, Problem) else ''}{problem}")
    return name, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording")
    parser.add_argument("--secret", action="append", default=[], metavar="ACCESS_KEY=SECRET")
    parser.add_argument("--allow-unsigned", action="store_true")
    options = parser.parse_args()
    secrets = dict(pair.split("=", 1) for pair in options.secret)
    models, counts, bad = Models(), collections.Counter(), 0
    with open(options.recording) as lines:
        for line in lines:
            entry = json.loads(line)
            name, problems = check(models, entry, secrets, options.allow_unsigned)
            counts[name] += 1
            bad += bool(problems)
            for problem in problems:
                print(f"request {entry['n']}, {name}: {problem}")
    print("; ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "no requests")
    print(f"{sum(counts.values())} requests, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
