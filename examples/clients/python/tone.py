"""How does a voice sound? Asks the service qwen-audio: python tone.py FILE [HOST:PORT]

FILE is a sound or a video. For a service with TLS or a token: MERRFLOW_TLS_CA, and for mTLS MERRFLOW_TLS_CERT and
MERRFLOW_TLS_KEY, are PEM files; MERRFLOW_TOKEN is the token.
"""

import sys

import merrflow


def main() -> None:
    file, address = sys.argv[1], (sys.argv[2:] or [""])[0]  # without an address: port 50053 of this machine
    try:
        with merrflow.Client("qwen-audio", address, say=lambda text: print(text, file=sys.stderr)) as client:
            tone = client.tone(file)
    except merrflow.InputError as error:  # such as a file that does not exist
        sys.exit(str(error))
    except merrflow.MerrflowError as error:  # INVALID_ARGUMENT: this file can never be described
        sys.exit(f"{error.code.name}: {error}")
    print(tone.value.text)
    print(f"content: {tone.value.content}")
    for name, (value, unit) in tone.value.measurements.items():
        print(f"{name}: {value:.2f} {unit}")
    print(f"by {tone.origin.engine} ({tone.origin.model}), {tone.origin.model_seconds:.2f} s: {tone.origin.note}")


if __name__ == "__main__":
    main()
