#include <node_api.h>
#include <uv.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "datagram_socket.h"

/*
 * The Node-API face of DatagramSocket: see ../udp-addon.ts for what JavaScript sees of it.
 *
 * All state hangs on the environment, so every worker thread has its own. An open socket holds on to its JavaScript object,
 * which in turn owns the Socket; after it is closed, or when its thread ends, the garbage collector frees both.
 */

namespace {

using tandem::DatagramSocket;
using tandem::Inbox;
using tandem::Outbox;
using tandem::Peer;

/** Raised whenever what JavaScript sees changes, so that a build of another release is not loaded. */
constexpr int kInterface = 1;
static_assert(sizeof(Peer) == 6 * sizeof(uint32_t), "PEER_WORDS of ../peer-words.ts");
/** Room for any numeric address with the name of its interface. */
constexpr size_t kAddressText = 80;

/** A call that fails only through a bug of ours, or without memory. */
#define MUST(call)                                                                         \
  do {                                                                                     \
    if ((call) != napi_ok) napi_fatal_error(__FILE__, NAPI_AUTO_LENGTH, #call, NAPI_AUTO_LENGTH); \
  } while (false)

/** What a thread has once. */
struct Addon {
  std::unique_ptr<Inbox> inbox;
  /** Keeps the memory of the inbox. */
  napi_ref memory = nullptr;
};

struct Socket {
  napi_env env;
  uv_poll_t poll;
  DatagramSocket datagrams;
  Outbox outbox;
  Inbox* inbox;
  /** The JavaScript object and its `onReady`: held while the socket is open. */
  napi_ref self = nullptr;
  napi_ref on_ready = nullptr;
  napi_async_context context = nullptr;
  napi_async_cleanup_hook_handle cleanup = nullptr;
  bool closed = true;
  bool awaits_writable = false;
};

Addon* AddonOf(napi_env env) {
  void* data;
  MUST(napi_get_instance_data(env, &data));
  return static_cast<Addon*>(data);
}

template <size_t N>
void Arguments(napi_env env, napi_callback_info info, napi_value (&values)[N]) {
  size_t count = N;
  MUST(napi_get_cb_info(env, info, &count, values, nullptr, nullptr));
}

Socket* SocketOf(napi_env env, napi_value value) {
  void* socket;
  MUST(napi_unwrap(env, value, &socket));
  return static_cast<Socket*>(socket);
}

uint32_t Uint32(napi_env env, napi_value value) {
  uint32_t number;
  MUST(napi_get_value_uint32(env, value, &number));
  return number;
}

napi_value Number(napi_env env, int64_t number) {
  napi_value value;
  MUST(napi_create_int64(env, number, &value));
  return value;
}

napi_value Property(napi_env env, napi_value object, const char* name) {
  napi_value value;
  MUST(napi_get_named_property(env, object, name, &value));
  return value;
}

template <class T>
T* Elements(napi_env env, napi_value array, size_t* length = nullptr) {
  void* data;
  MUST(napi_get_typedarray_info(env, array, nullptr, length, &data, nullptr, nullptr));
  return static_cast<T*>(data);
}

/** `undefined` is no address; so is what is not numeric, which JavaScript has checked. */
bool Address(napi_env env, napi_value host, napi_value port, sockaddr_storage* out) {
  char text[kAddressText];
  size_t length;
  if (napi_get_value_string_latin1(env, host, text, sizeof text, &length) != napi_ok) return false;
  return tandem::ParseAddress(text, Uint32(env, port), out);
}

/** Tells JavaScript what a readiness has brought. */
void Deliver(Socket* socket, int received, bool writable) {
  napi_env env = socket->env;
  napi_handle_scope scope;
  MUST(napi_open_handle_scope(env, &scope));
  napi_value self, on_ready, arguments[2];
  MUST(napi_get_reference_value(env, socket->self, &self));
  MUST(napi_get_reference_value(env, socket->on_ready, &on_ready));
  arguments[0] = Number(env, received);
  MUST(napi_get_boolean(env, writable, &arguments[1]));
  if (napi_make_callback(env, socket->context, self, on_ready, 2, arguments, nullptr) == napi_pending_exception) {
    napi_value exception;
    if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
  }
  MUST(napi_close_handle_scope(env, scope));
}

void Watch(Socket* socket);

void OnPoll(uv_poll_t* poll, int status, int events) {
  auto* socket = static_cast<Socket*>(poll->data);
  // A pending error of the socket, such as ECONNREFUSED: libuv calls it EBADF and stops. Receiving says what it is.
  const bool broken = status < 0;
  const bool writable = !broken && (events & UV_WRITABLE);
  const int received = broken || (events & UV_READABLE) ? socket->datagrams.Receive(socket->inbox) : 0;
  if (writable) socket->awaits_writable = false;
  if (broken || writable) Watch(socket);
  if (received != 0 || writable) Deliver(socket, received, writable);
}

void Watch(Socket* socket) {
  uv_poll_start(&socket->poll, UV_READABLE | (socket->awaits_writable ? UV_WRITABLE : 0), OnPoll);
}

void OnClosed(uv_handle_t* handle) {
  auto* socket = static_cast<Socket*>(handle->data);
  napi_env env = socket->env;
  const napi_async_cleanup_hook_handle cleanup = socket->cleanup;
  MUST(napi_async_destroy(env, socket->context));
  MUST(napi_delete_reference(env, socket->on_ready));
  MUST(napi_delete_reference(env, socket->self));
  // When the thread ends, the environment and the socket may be gone after this.
  MUST(napi_remove_async_cleanup_hook(cleanup));
}

void CloseSocket(Socket* socket) {
  if (socket->closed) return;
  socket->closed = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&socket->poll), OnClosed);
  socket->datagrams.Close();
}

/** The socket's object and all that an open socket needs; what stays after it is closed is freed with the object. */
napi_value Adopt(napi_env env, std::unique_ptr<Socket> owned, napi_value on_ready) {
  Socket* socket = owned.get();
  uv_loop_t* loop;
  MUST(napi_get_uv_event_loop(env, &loop));
  if (const int error = uv_poll_init(loop, &socket->poll, socket->datagrams.fd())) return Number(env, error);
  socket->poll.data = socket;
  socket->closed = false;

  napi_value self, name;
  MUST(napi_create_object(env, &self));
  auto finalize = [](napi_env, void* data, void*) { delete static_cast<Socket*>(data); };
  MUST(napi_wrap(env, self, owned.release(), finalize, nullptr, nullptr));
  MUST(napi_create_reference(env, self, 1, &socket->self));
  MUST(napi_create_reference(env, on_ready, 1, &socket->on_ready));
  MUST(napi_create_string_latin1(env, "BatchedUdp", NAPI_AUTO_LENGTH, &name));
  MUST(napi_async_init(env, self, name, &socket->context));
  auto at_end = [](napi_async_cleanup_hook_handle, void* data) { CloseSocket(static_cast<Socket*>(data)); };
  MUST(napi_add_async_cleanup_hook(env, at_end, socket, &socket->cleanup));
  Watch(socket);
  return self;
}

/** `shareInbox(bytes, lengths, sources)`: where the datagrams of all sockets of this thread go, batch by batch. */
napi_value ShareInbox(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Arguments(env, info, arguments);
  size_t bytes, slots;
  auto* data = Elements<uint8_t>(env, arguments[0], &bytes);
  auto* lengths = Elements<uint32_t>(env, arguments[1], &slots);
  auto* sources = Elements<Peer>(env, arguments[2]);
  Addon* addon = AddonOf(env);
  addon->inbox = std::make_unique<Inbox>(data, bytes / slots, lengths, sources, slots);
  napi_value memory;
  MUST(napi_create_array_with_length(env, 3, &memory));
  for (uint32_t i = 0; i < 3; i++) MUST(napi_set_element(env, memory, i, arguments[i]));
  MUST(napi_create_reference(env, memory, 1, &addon->memory));
  return nullptr;
}

/** `open(options, onReady)`: the socket, or the negative errno. */
napi_value Open(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Arguments(env, info, arguments);
  const napi_value options = arguments[0];
  const auto get = [&](const char* name) { return Property(env, options, name); };

  tandem::OpenOptions open{};
  if (!Address(env, get("address"), get("port"), &open.local)) return Number(env, -EINVAL);
  open.connected = Address(env, get("peerAddress"), get("peerPort"), &open.peer);
  MUST(napi_get_value_bool(env, get("reusePort"), &open.reuse_port));
  open.receive_buffer_bytes = Uint32(env, get("receiveBufferBytes"));
  open.send_buffer_bytes = Uint32(env, get("sendBufferBytes"));

  auto socket = std::make_unique<Socket>();
  socket->env = env;
  socket->inbox = AddonOf(env)->inbox.get();
  socket->outbox = {Elements<uint8_t>(env, get("bytes")), Elements<uint32_t>(env, get("bounds")),
                    Elements<Peer>(env, get("targets"))};
  if (const int error = socket->datagrams.Open(open)) return Number(env, error);
  // The outbox lives on: `onReady` holds it, and nothing is sent once that is let go.
  return Adopt(env, std::move(socket), arguments[1]);
}

/** `send(socket, first, count)`: how many of these messages of the outbox have left, or the negative errno of the first. */
napi_value Send(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Arguments(env, info, arguments);
  Socket* socket = SocketOf(env, arguments[0]);
  return Number(env, socket->datagrams.Send(socket->outbox, Uint32(env, arguments[1]), Uint32(env, arguments[2])));
}

/** `awaitWritable(socket)`: `onReady` is to be called once when the kernel takes messages again. */
napi_value AwaitWritable(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Arguments(env, info, arguments);
  Socket* socket = SocketOf(env, arguments[0]);
  if (socket->closed || socket->awaits_writable) return nullptr;
  socket->awaits_writable = true;
  Watch(socket);
  return nullptr;
}

/** `status(socket)`: `[address, port, receiveBufferBytes, sendBufferBytes]`, of an open socket. */
napi_value Status(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Arguments(env, info, arguments);
  const DatagramSocket& datagrams = SocketOf(env, arguments[0])->datagrams;
  sockaddr_storage local{};
  Peer peer{};
  char text[kAddressText] = "";
  if (datagrams.LocalAddress(&local) == 0 && tandem::FormatAddress(local, text, sizeof text)) tandem::ToPeer(local, &peer);
  napi_value values[4], result;
  MUST(napi_create_string_latin1(env, text, NAPI_AUTO_LENGTH, &values[0]));
  values[1] = Number(env, peer.port);
  values[2] = Number(env, datagrams.BufferBytes(SO_RCVBUF));
  values[3] = Number(env, datagrams.BufferBytes(SO_SNDBUF));
  MUST(napi_create_array_with_length(env, 4, &result));
  for (uint32_t i = 0; i < 4; i++) MUST(napi_set_element(env, result, i, values[i]));
  return result;
}

/** `drops(socket)`: datagrams lost for want of room in the receive buffer, as of the last one received. */
napi_value Drops(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Arguments(env, info, arguments);
  return Number(env, SocketOf(env, arguments[0])->datagrams.drops());
}

/** `close(socket)`: its port is free at once. */
napi_value Close(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Arguments(env, info, arguments);
  CloseSocket(SocketOf(env, arguments[0]));
  return nullptr;
}

/** `parseAddress(text, words)`: writes scope and address of a numeric IPv6 address behind the port in `words`. */
napi_value ParseAddress(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result;
  Arguments(env, info, arguments);
  napi_value no_port = Number(env, 0);
  sockaddr_storage address;
  const bool valid = Address(env, arguments[0], no_port, &address) && address.ss_family == AF_INET6;
  if (valid) tandem::ToPeer(address, Elements<Peer>(env, arguments[1]));
  MUST(napi_get_boolean(env, valid, &result));
  return result;
}

/** `formatAddress(words)`: the text of an IPv6 address, with its zone. */
napi_value FormatAddress(napi_env env, napi_callback_info info) {
  napi_value arguments[1], result;
  Arguments(env, info, arguments);
  sockaddr_storage address{};
  tandem::FromPeer(*Elements<Peer>(env, arguments[0]), AF_INET6, &address);
  char text[kAddressText] = "";
  tandem::FormatAddress(address, text, sizeof text);
  MUST(napi_create_string_latin1(env, text, NAPI_AUTO_LENGTH, &result));
  return result;
}

void Export(napi_env env, napi_value exports, const char* name, napi_callback function) {
  napi_value value;
  MUST(napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value));
  MUST(napi_set_named_property(env, exports, name, value));
}

}  // namespace

NAPI_MODULE_INIT() {
  auto finalize = [](napi_env ending, void* data, void*) {
    std::unique_ptr<Addon> addon(static_cast<Addon*>(data));
    if (addon->memory) napi_delete_reference(ending, addon->memory);
  };
  MUST(napi_set_instance_data(env, new Addon, finalize, nullptr));
  MUST(napi_set_named_property(env, exports, "interface", Number(env, kInterface)));
  Export(env, exports, "shareInbox", ShareInbox);
  Export(env, exports, "open", Open);
  Export(env, exports, "send", Send);
  Export(env, exports, "awaitWritable", AwaitWritable);
  Export(env, exports, "status", Status);
  Export(env, exports, "drops", Drops);
  Export(env, exports, "close", Close);
  Export(env, exports, "parseAddress", ParseAddress);
  Export(env, exports, "formatAddress", FormatAddress);
  return exports;
}
