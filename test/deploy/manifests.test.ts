/** The Kubernetes manifests: rendered, checked against the API's types, and run with their arguments. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { flags } from '../../src/flags/flags.ts'
import { readPage } from '../harness/documents.ts'
import { ROOT, temporaryFolder } from '../harness/files.ts'
import { type KubernetesObject, problemsOf, render } from '../harness/manifests.ts'
import { runXtrimd, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'

const PAGE = readPage('docs/kubernetes.md')
const FOLDERS = ['example', 'standalone', 'cronjob', 'monitoring'] as const
const rendered = Object.fromEntries(FOLDERS.map((folder) => [folder, render(folder)])) as Record<
  (typeof FOLDERS)[number],
  KubernetesObject[]
>

const copyOf = <T>(value: T): T => structuredClone(value)

function only(objects: readonly KubernetesObject[], kind: string, name?: string): KubernetesObject {
  const found = objects.filter(
    (object) => object.kind === kind && (name === undefined || object.metadata.name.startsWith(name)),
  )
  assert.equal(found.length, 1, `one ${kind} ${name ?? ''}`)
  return found[0]
}

/** The pod template of a workload. */
function podOf(object: KubernetesObject): KubernetesObject | undefined {
  return object.spec?.jobTemplate?.spec.template ?? object.spec?.template
}

function containersOf(pod: KubernetesObject): KubernetesObject[] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers]
}

/** Every container that runs xtrimd. */
const OURS = FOLDERS.flatMap((folder) =>
  rendered[folder].flatMap((object) => {
    const pod = podOf(object)
    return pod === undefined
      ? []
      : containersOf(pod)
          .filter(({ name }) => name === 'xtrimd')
          .map((container) => ({ folder, kind: object.kind, pod, container }))
  }),
)

test('every object has a type and fields that the Kubernetes API knows', async () => {
  const problems = await Promise.all(FOLDERS.map(async (folder) => problemsOf(rendered[folder])))
  assert.deepEqual(problems.flat(), [])
  assert.deepEqual(
    OURS.map(({ folder, kind }) => `${folder} ${kind}`),
    ['example Deployment', 'standalone Deployment', 'cronjob CronJob'],
  )
})

test('control: the check notices a misspelt field, a value of the wrong type and a missing field', async () => {
  const objects = copyOf(rendered.example)
  const { spec } = only(objects, 'Deployment', 'chat')
  spec.template.spec.initContainers[0].securityContext.readOnlyRootFileSystem = true
  spec.replicas = '3'
  delete only(objects, 'PodMonitor').spec.selector
  const problems = (await problemsOf(objects)).join('\n')
  assert.match(problems, /"readOnlyRootFileSystem"' does not exist in type/)
  assert.match(problems, /'string' is not assignable to type 'number'/)
  assert.match(problems, /PodMonitor xtrimd: .*selector/)
})

test('the lines in docs/kubernetes.md add the sidecar to the labelled Deployment only', (t) => {
  const told = Array.from(PAGE.matchAll(/^```yaml\n([\s\S]*?)^```$/gm), ([, text]) => parse(text ?? ''))
  const [overlay] = told.filter((block): block is { components: string[]; patches: unknown } => 'components' in block)
  const folder = temporaryFolder(t, 'manifests')
  const components = overlay?.components.map((path) => {
    assert.match(path, /\/k8s\/sidecar(\?ref=.*)?$/)
    return relative(folder, join(ROOT, 'k8s/sidecar'))
  })
  assert.deepEqual(overlay?.patches, [{ path: 'settings.yaml' }])
  const kustomization = { resources: ['deployments.yaml'], ...overlay, components }
  const deployment = (name: string, labels: object) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels },
    spec: {
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name, image: `${name}:1` }] } },
    },
  })
  const settings = [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'xtrimd' }, data: { XTRIMD_MAX_AGE: '7d' } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'xtrimd-redis' }, data: { password: 'c2VjcmV0' } },
  ]
  const write = (name: string, objects: readonly object[]): void =>
    writeFileSync(join(folder, name), objects.map((object) => JSON.stringify(object)).join('\n---\n'))
  write('kustomization.yaml', [kustomization])
  write('deployments.yaml', [deployment('app', { xtrimd: 'sidecar' }), deployment('other', {})])
  write('settings.yaml', settings)
  const objects = render(relative(join(ROOT, 'k8s'), folder))

  const { spec } = only(objects, 'Deployment', 'app').spec.template
  assert.deepEqual(spec.containers, [{ name: 'app', image: 'app:1' }])
  const [sidecar, ...more] = spec.initContainers
  assert.deepEqual(more, [])
  assert.equal(sidecar.restartPolicy, 'Always')
  const config = only(objects, 'ConfigMap', 'xtrimd')
  assert.equal(sidecar.envFrom[0].configMapRef.name, config.metadata.name)
  assert.deepEqual([config.data.XTRIMD_MAX_AGE, config.data.XTRIMD_MAX_LENGTH], ['7d', '1000'])
  const secret = only(objects, 'Secret', 'xtrimd-redis')
  assert.equal(spec.volumes[0].secret.secretName, secret.metadata.name)
  assert.deepEqual(secret.data, { password: 'c2VjcmV0' })
  assert.deepEqual(only(objects, 'Deployment', 'other'), deployment('other', {}))
})

test('xtrimd runs restricted, with resource limits and in the same version everywhere', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  const [first] = OURS
  for (const { folder, container } of OURS) {
    assert.equal(container.image, `xtrimd:${version}`, folder)
    assert.deepEqual(container.securityContext, {
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    })
    assert.deepEqual(container.resources.limits, first?.container.resources.limits, folder)
    assert.deepEqual(container.resources.requests.memory, first?.container.resources.requests.memory, folder)
    assert.deepEqual(container.envFrom.length, 1, folder)
  }
})

/** Everything in a pod that the `restricted` Pod Security Standard forbids. */
function unrestricted({ spec }: KubernetesObject): string[] {
  const problems: string[] = []
  for (const host of ['hostNetwork', 'hostPID', 'hostIPC']) if (spec[host]) problems.push(host)
  const volumes = [
    'configMap',
    'csi',
    'downwardAPI',
    'emptyDir',
    'ephemeral',
    'persistentVolumeClaim',
    'projected',
    'secret',
  ]
  for (const { name, ...kinds } of spec.volumes ?? [])
    if (!Object.keys(kinds).every((kind) => volumes.includes(kind))) problems.push(`volume ${name}`)
  for (const { name, ports = [], securityContext = {} } of containersOf({ spec })) {
    // A container's own settings override the pod's.
    const { runAsNonRoot, runAsUser, seccompProfile, allowPrivilegeEscalation, capabilities, privileged } = {
      ...spec.securityContext,
      ...securityContext,
    }
    if (runAsNonRoot !== true || runAsUser === 0) problems.push(`${name}: may be root`)
    if (!['RuntimeDefault', 'Localhost'].includes(seccompProfile?.type)) problems.push(`${name}: seccompProfile`)
    if (allowPrivilegeEscalation !== false || privileged === true) problems.push(`${name}: privileges`)
    const { drop = [], add = [] } = capabilities ?? {}
    if (!drop.includes('ALL') || add.some((one: string) => one !== 'NET_BIND_SERVICE'))
      problems.push(`${name}: capabilities`)
    if (ports.some(({ hostPort }: KubernetesObject) => hostPort)) problems.push(`${name}: hostPort`)
  }
  return problems
}

test('every pod of the example meets the Pod Security Standard that its namespace enforces', () => {
  const enforced = only(rendered.example, 'Namespace').metadata.labels['pod-security.kubernetes.io/enforce']
  assert.equal(enforced, 'restricted')
  const pods = rendered.example.map(podOf).filter((pod) => pod !== undefined)
  assert.deepEqual(
    pods.map((pod) => [pod.metadata.labels['app.kubernetes.io/name'], unrestricted(pod)]),
    [
      ['chat', []],
      ['redis', []],
    ],
  )

  // The control: with any of these changes, the namespace would reject the pod.
  const pod = copyOf(pods[1])
  pod.spec.securityContext.runAsUser = 0
  delete pod.spec.securityContext.seccompProfile
  delete pod.spec.containers[0].securityContext.capabilities
  pod.spec.volumes.push({ name: 'host', hostPath: { path: '/' } })
  assert.deepEqual(unrestricted(pod), [
    'volume host',
    'redis: may be root',
    'redis: seccompProfile',
    'redis: capabilities',
  ])
})

test('every selector matches something', () => {
  const selects = (labels: Record<string, string>, { matchLabels = {}, matchExpressions = [] }: KubernetesObject) =>
    Object.entries(matchLabels).every(([name, value]) => labels[name] === value) &&
    matchExpressions.every(({ key, values }: KubernetesObject) => values.includes(labels[key]))
  for (const folder of ['example', 'standalone', 'cronjob'] as const) {
    const objects = rendered[folder]
    const pods = objects.map(podOf).filter((pod) => pod !== undefined)
    for (const { kind, metadata, spec } of objects) {
      const selector = spec?.podSelector ?? (kind === 'Service' ? { matchLabels: spec.selector } : spec?.selector)
      if (selector === undefined || kind === 'PodMonitor') continue
      const selected = pods.filter((pod) => selects(pod.metadata.labels, selector))
      assert.equal(selected.length, 1, `${folder}: ${kind} ${metadata.name} selects one kind of pod`)
    }
    const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
    for (const { spec } of pods) {
      for (const { secret, configMap } of spec.volumes ?? []) {
        if (secret) assert.ok(names.includes(`Secret ${secret.secretName}`), secret.secretName)
        if (configMap) assert.ok(names.includes(`ConfigMap ${configMap.name}`), configMap.name)
      }
    }
  }
  // A namespace may hold both. If the Deployment's selector matched the Job's pods, it would run a replica too few.
  const ours = OURS.filter(({ folder }) => folder !== 'example')
  const { spec: deployment } = only(rendered.standalone, 'Deployment')
  const selectors = [
    deployment.selector,
    ...deployment.template.spec.topologySpreadConstraints.map((one: KubernetesObject) => one.labelSelector),
    only(rendered.standalone, 'PodDisruptionBudget').spec.selector,
  ]
  for (const selector of selectors) {
    const selected = ours.filter(({ pod }) => selects(pod.metadata.labels, selector))
    assert.deepEqual(
      selected.map(({ kind }) => kind),
      ['Deployment'],
    )
  }

  const { selector, podMetricsEndpoints } = only(rendered.monitoring, 'PodMonitor').spec
  for (const { kind, pod, container } of OURS) {
    assert.equal(selects(pod.metadata.labels, selector), kind === 'Deployment')
    if (kind === 'Deployment') assert.equal(container.ports[0].name, podMetricsEndpoints[0].port)
  }
})

test('every port that a Service, a probe or a NetworkPolicy names exists in the pods behind it', () => {
  const named = new Set<string>()
  for (const folder of ['example', 'standalone', 'cronjob'] as const) {
    const pods = rendered[folder].map(podOf).filter((pod) => pod !== undefined)
    const portsOf = (pod: KubernetesObject): KubernetesObject[] => containersOf(pod).flatMap(({ ports = [] }) => ports)
    const has = (pod: KubernetesObject, port: string | number): boolean =>
      portsOf(pod).some(({ name, containerPort }) => port === name || port === containerPort)
    for (const { kind, metadata, spec } of rendered[folder]) {
      const labels = kind === 'Service' ? spec.selector : kind === 'NetworkPolicy' ? spec.podSelector.matchLabels : null
      if (labels === null) continue
      const ports: (string | number)[] =
        kind === 'Service'
          ? spec.ports.map(({ targetPort }: KubernetesObject) => targetPort)
          : spec.ingress.flatMap((rule: KubernetesObject) => rule.ports.map(({ port }: KubernetesObject) => port))
      for (const pod of pods) {
        const isBehind = Object.entries(labels).every(([name, value]) => pod.metadata.labels[name] === value)
        // A Job listens on no port, so rules about its ports have no effect.
        if (!isBehind || portsOf(pod).length === 0) continue
        const ofSidecars = (pod.spec.initContainers ?? []).flatMap(({ ports: own = [] }: KubernetesObject) => own)
        for (const port of ports) {
          assert.ok(has(pod, port), `${folder}: ${kind} ${metadata.name} names port ${port}`)
          // Not every network plugin looks for port names in init containers. Without the name, it would let nothing in.
          const isSidecars = ofSidecars.some(({ name }: KubernetesObject) => name === port)
          assert.ok(!isSidecars, `${folder}: ${kind} ${metadata.name} gives a sidecar's port by its number`)
          named.add(`${folder} ${kind} ${port}`)
        }
      }
    }
    for (const pod of pods) {
      for (const { name, startupProbe, livenessProbe, readinessProbe } of containersOf(pod)) {
        for (const probe of [startupProbe, livenessProbe, readinessProbe]) {
          const port = (probe?.httpGet ?? probe?.tcpSocket)?.port
          if (port !== undefined) assert.ok(has(pod, port), `${folder}: a probe of ${name} names port ${port}`)
        }
      }
    }
  }
  assert.deepEqual(Array.from(named).sort(), [
    'example NetworkPolicy 9464',
    'example NetworkPolicy http',
    'example NetworkPolicy redis',
    'example Service redis',
    'standalone NetworkPolicy xtrimd',
  ])

  // Outgoing rules know no port names: the number must be that of Redis's address.
  for (const folder of ['standalone', 'cronjob'] as const) {
    const { port } = new URL(only(rendered[folder], 'ConfigMap', 'xtrimd').data.XTRIMD_REDIS_URL)
    const { egress } = only(rendered[folder], 'NetworkPolicy', 'xtrimd').spec
    assert.ok(egress.some(({ to, ports }: KubernetesObject) => to === undefined && ports[0].port === Number(port)))
  }
  const [, dir] = /^dir (.*)$/m.exec(only(rendered.example, 'ConfigMap', 'redis').data['redis.conf']) ?? []
  const [redis] = only(rendered.example, 'StatefulSet').spec.template.spec.containers
  assert.ok(redis.volumeMounts.some(({ mountPath }: KubernetesObject) => mountPath === dir))
})

for (const { folder, kind, pod, container } of OURS) {
  test(`the program starts with the arguments and variables of ${folder}'s ${kind}, and sweeps`, async (t) => {
    const redis = await startRedis(t, { config: folder === 'example' ? redisConfig() : {} })
    const environment = environmentOf(t, rendered[folder], pod, container)
    const { XTRIMD_REDIS_URL: url = '', XTRIMD_REDIS_PASSWORD_FILE: passwordFile = '' } = environment
    const password = readFileSync(passwordFile, 'utf8')
    await (folder === 'example'
      ? allowUsers(redis)
      : redis.command('ACL', 'SETUSER', 'xtrimd', 'on', `>${password}`, '~*', '+@all'))
    if (folder === 'example') {
      const { metadata, spec } = only(rendered.example, 'Service', 'redis')
      assert.equal(url, `redis://${metadata.name}:${spec.ports[0].port}`)
    }
    // As rendered, except for what only a cluster provides: the address behind the Service's name, and a port of its own (see `startDaemon`).
    const env = { ...environment, XTRIMD_REDIS_URL: url.replace('//redis:6379', `//127.0.0.1:${redis.port}`) }
    assert.notEqual(env.XTRIMD_REDIS_URL, url)
    const keys = ['stream:conversation:read', 'stream:conversation:unread']
    const from = (await redisNow(redis)) - 60_000
    for (const key of keys) await fillStream(redis, key, { count: 3_000, from, stepMs: 1, bytes: 20 })
    await redis.command('XGROUP', 'CREATE', keys[1] ?? '', 'group', '0')
    await redis.command('XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', '10', 'STREAMS', keys[1] ?? '', '>')
    await redis.command('ACL', 'LOG', 'RESET')

    if (kind === 'CronJob') {
      const { code, stdout, stderr } = await runXtrimd(container.args, { env })
      assert.equal(code, 0, stderr)
      assert.equal(JSON.parse(stdout).result, 'success')
    } else {
      assert.equal(container.args[0], 'run')
      const daemon = await startDaemon(t, container.args.slice(1), { env })
      const { result } = await daemon.waitForLog('sweep')
      assert.equal(result, 'success')
      for (const { httpGet } of [container.livenessProbe, container.readinessProbe]) {
        assert.equal((await daemon.get(httpGet.path)).status, 200)
        assert.equal(httpGet.port, container.ports[0].name)
      }
      assert.equal(container.ports[0].containerPort, Number(flags['http-bind'].default?.replace(/.*:/, '')))
      assert.equal(
        (await daemon.get(only(rendered.monitoring, 'PodMonitor').spec.podMetricsEndpoints[0].path)).status,
        200,
      )
      assert.equal((await daemon.stop()).code, 0)
      assert.deepEqual(
        daemon.logs.filter(({ level }) => !['info', 'debug'].includes(level)),
        [],
      )
    }
    const [read, unread] = await Promise.all(keys.map((key) => redis.command('XLEN', key).then(Number)))
    assert.ok((read as number) >= 1_000 && (read as number) <= 1_100, `${read}`)
    // Only the example protects unread entries.
    assert.equal((unread as number) > 2_800, folder === 'example', `${unread}`)
    assert.deepEqual(await redis.command('ACL', 'LOG'), [], 'nothing was refused')
  })
}

/** The settings of the example's Redis, without its address and the paths of its files. */
function redisConfig(): Record<string, string> {
  const text = String(only(rendered.example, 'ConfigMap', 'redis').data['redis.conf'])
  const settings = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => [line.replace(/ .*/, ''), line.replace(/^\S+ /, '')])
  return Object.fromEntries(settings.filter(([name = '']) => !['bind', 'dir', 'aclfile'].includes(name)))
}

/** Adds the users of the example's ACL file, except the default user, which the test itself needs. */
async function allowUsers(redis: RedisServer): Promise<void> {
  const file = Buffer.from(only(rendered.example, 'Secret', 'redis-users').data['users.acl'], 'base64').toString()
  for (const [, name = '', rules = ''] of file.matchAll(/^user (\S+) (.*)$/gm)) {
    if (name === 'default') continue
    const words = rules.split(' ')
    await redis.command('ACL', 'SETUSER', name, ...words).catch(() => {
      // Redis has this command from 7.2 on; the example's Redis is newer.
      return redis.command('ACL', 'SETUSER', name, ...words.filter((word) => word !== '+client|no-touch'))
    })
  }
}

/** The environment of a container's process. The files of Secrets are in a folder of the test. */
function environmentOf(
  t: TestContext,
  objects: readonly KubernetesObject[],
  pod: KubernetesObject,
  container: KubernetesObject,
): Record<string, string> {
  const folder = temporaryFolder(t, 'manifests')
  const environment: Record<string, string> = {}
  for (const { configMapRef } of container.envFrom) {
    Object.assign(environment, only(objects, 'ConfigMap', configMapRef.name).data)
  }
  for (const { name, mountPath } of container.volumeMounts) {
    const { secret } = pod.spec.volumes.find((volume: KubernetesObject) => volume.name === name)
    const mounted = join(folder, basename(mountPath))
    mkdirSync(mounted)
    for (const [file, content] of Object.entries(only(objects, 'Secret', secret.secretName).data)) {
      writeFileSync(join(mounted, file), Buffer.from(String(content), 'base64'))
    }
    for (const [variable, value] of Object.entries(environment)) {
      environment[variable] = value.replace(mountPath, mounted)
    }
  }
  return environment
}
