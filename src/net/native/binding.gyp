{
  'targets': [
    {
      'target_name': 'udp',
      'sources': ['addon.cc', 'datagram_socket.cc'],
      'defines': ['NAPI_VERSION=8'],
      'cflags_cc': ['-std=c++17', '-Wall', '-Wextra'],
      'conditions': [
        # recvmmsg, sendmmsg and SO_RXQ_OVFL are Linux's own.
        ['OS != "linux"', { 'type': 'none', 'sources': [] }],
      ],
    },
  ],
}
