"""A TLS server in front of a plain one, for the suites that test a client's TLS. The bridge's own is not tested here."""

import asyncio
import ssl


async def _copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def _serve(port, certificate, key, ready):
    async def client(reader, writer):
        try:
            plain = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, plain[1]), _copy(plain[0], writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(client, "127.0.0.1", 0, ssl=context)
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def run(port, certificate, key, ready):
    """Serves until the process ends. `ready` is called with the port."""
    asyncio.run(_serve(port, certificate, key, ready))
