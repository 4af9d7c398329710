//! Processes as they are found on servers, and what they must be called. Lines without `=>` are
//! headings. The fields are explained at [`super::Row::parse`].

/// `cgroup | executable | arguments | directory | environment | parent => name | manager | role`.
pub(super) const ROWS: &str = r"
system units, cgroup v2: Ubuntu 22.04, 24.04, Debian 12, RHEL 9
/system.slice/api.service | /usr/bin/node | /usr/bin/node server.js | /srv/api | - | process:systemd => api.service | systemd
/system.slice/nginx.service | /usr/sbin/nginx | =nginx: master process /usr/sbin/nginx -g daemon on; master_process on; | / | - | process:systemd => nginx.service | systemd | nginx
/system.slice/nginx.service | /usr/sbin/nginx | =nginx: worker process | / | - | systemd:nginx.service => nginx.service | systemd | nginx
/system.slice/nginx.service | comm:nginx | =nginx: cache manager process | - | - | - => nginx.service | systemd | nginx
/system.slice/nginx.service | comm:nginx | - | - | - | - => nginx.service | systemd | nginx
/system.slice/apache2.service | /usr/sbin/apache2 | /usr/sbin/apache2 -k start | / | - | process:systemd => apache2.service | systemd | apache
/system.slice/httpd.service | /usr/sbin/httpd | /usr/sbin/httpd -DFOREGROUND | / | - | - => httpd.service | systemd | apache
/system.slice/apache2.service | /usr/bin/php-cgi8.1 | /usr/bin/php-cgi8.1 | /var/www | - | systemd:apache2.service => apache2.service | systemd
/system.slice/haproxy.service | /usr/sbin/haproxy | /usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg | / | - | - => haproxy.service | systemd | haproxy
/system.slice/caddy.service | /usr/bin/caddy | /usr/bin/caddy run --environ | / | - | - => caddy.service | systemd | caddy
/system.slice/system-postgresql.slice/postgresql@14-main.service | /usr/lib/postgresql/14/bin/postgres | =postgres: 14/main: checkpointer | /var/lib/postgresql/14/main | - | - => postgresql@14-main.service | systemd
/system.slice/system-worker.slice/worker@2.service | /usr/bin/ruby3.0 | ruby bin/work | /srv/shop | - | - => worker@2.service | systemd
/system.slice/containerd.service | /usr/bin/containerd-shim-runc-v2 | containerd-shim-runc-v2 -namespace moby | / | - | - => containerd.service | systemd
/system.slice/docker.service | /usr/bin/docker-proxy | /usr/bin/docker-proxy -proto tcp -host-port 8080 | / | - | systemd:docker.service => docker.service | systemd
/system.slice/ssh.service | /usr/sbin/sshd | =sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups | / | - | process:systemd => ssh.service | systemd
/system.slice/cron.service | /usr/sbin/cron | /usr/sbin/cron -f -P | / | - | process:systemd => cron.service | systemd
/system.slice/cron.service | /usr/bin/dash | /bin/sh -c php /var/www/artisan schedule:run | /root | - | systemd:cron.service => cron.service | systemd
/system.slice/mysql.service | /usr/sbin/mysqld | /usr/sbin/mysqld | /var/lib/mysql | - | - => mysql.service | systemd
/custom.slice/custom-web.slice/front.service | /srv/front/bin/front | /srv/front/bin/front | / | - | - => front.service | systemd
/system.slice/api.service/workers | /usr/bin/node | node w.js | / | - | - => api.service | systemd
/system.slice/api.service/payload/session-1.scope | /usr/bin/node | node w.js | / | - | - => api.service | systemd
/system.slice/run-r3f1c.service | /usr/bin/sleep | sleep 10 | / | - | process:systemd => run-r3f1c.service | systemd
/system.slice/run-u12.service | /usr/bin/sleep | sleep 10 | / | - | - => run-u12.service | systemd
/system.slice/run-rdeadbeef.scope | /usr/bin/stress | stress | / | - | process:bash => run-rdeadbeef.scope | systemd
/user.slice/user-0.slice/run-u7.scope | /usr/bin/stress | stress | / | - | process:bash => run-u7.scope | systemd
/system.slice/build.scope | /usr/bin/make | make | / | - | process:bash => build.scope | systemd
/system.slice/app\x2dweb.service | /srv/w | /srv/w | / | - | - => app\x2dweb.service | systemd
/system.slice/gone.service | comm:helper | - | - | - | - => gone.service | systemd
/system.slice/gunicorn.service | /usr/bin/python3.10 | =gunicorn: master [shop.wsgi:application] | /srv/shop | - | process:systemd => gunicorn.service | systemd
cgroup v1: Ubuntu 20.04, RHEL 7 and 8
/system.slice/tomcat.service | /usr/lib/jvm/java-11/bin/java | java -jar t.jar | / | - | - => tomcat.service | systemd
/system.slice/system-openvpn.slice/openvpn@srv.service | /usr/sbin/openvpn | /usr/sbin/openvpn | / | - | - => openvpn@srv.service | systemd
/user.slice/user-1000.slice/session-7.scope | /usr/bin/htop | htop | /home/anna | - | process:bash => htop | process
/ | /usr/sbin/crond | /usr/sbin/crond -n | / | - | process:init => crond | process
user units
/user.slice/user-1000.slice/user@1000.service/app.slice/bot.service | /usr/bin/python3.11 | python3 bot.py | /home/anna | - | process:systemd => bot.service (user anna) | systemd
/user.slice/user-1001.slice/user@1001.service/app.slice/bot.service | /usr/bin/python3.11 | python3 bot.py | /home/ben | - | process:systemd => bot.service (user 1001) | systemd
/user.slice/user-1000.slice/user@1000.service/bot.service | /usr/bin/python3.8 | python3 bot.py | /home/anna | - | process:systemd => bot.service (user anna) | systemd
/user.slice/user-1000.slice/user@1000.service/app.slice/app-web.slice/web@1.service | /usr/bin/node | node a.js | /home/anna | - | - => web@1.service (user anna) | systemd
/user.slice/user-1000.slice/user@1000.service/app.slice/run-r77.scope | /usr/bin/stress | stress | / | - | process:bash => run-r77.scope (user anna) | systemd
/user.slice/user-1000.slice/user@1000.service/init.scope | /usr/lib/systemd/systemd | /lib/systemd/systemd --user | / | - | process:systemd => systemd | process
/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-3121.scope | /usr/lib/firefox/firefox | firefox | / | - | process:systemd => firefox | process
no units
/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/emulator | /usr/bin/qemu-system-x86_64 | qemu-system-x86_64 -name vm | / | - | process:libvirtd => libvirtd | process
/init.scope | /usr/lib/systemd/systemd | /sbin/init splash | / | - | - => systemd | process
/user.slice/user-0.slice/session-3.scope | /usr/bin/bash | -bash | /root | - | process:sshd => bash | process
/user.slice/user-0.slice/session-3.scope | /usr/sbin/sshd | =sshd: root@pts/0 | / | - | systemd:ssh.service => sshd | process
/user.slice/user-0.slice/session-3.scope | comm:node | - | - | - | process:bash => node | process
/system.slice/system-getty.slice/getty@tty1.service | /usr/sbin/agetty | /sbin/agetty -o tty1 | / | - | process:systemd => agetty | process
/system.slice/system-serial\x2dgetty.slice/serial-getty@ttyS0.service | /usr/sbin/agetty | /sbin/agetty ttyS0 | / | - | process:systemd => agetty | process
/machine.slice/libpod-conmon-{B}.scope | /usr/bin/conmon | /usr/bin/conmon --api-version 1 | / | - | process:systemd => conmon | process
- | comm:kworker/0:1 | - | - | - | - => kworker/0:1 | process
containers: Docker with both cgroup drivers, Podman, Kubernetes
/docker/{A}/docker/{C} | /usr/bin/redis-server | redis-server | / | - | - => shop/api | container
/docker/{C}/system.slice/api.service | /usr/bin/node | node a.js | / | - | - => c3c3c3c3c3c3 | container
/system.slice/web.service/libpod-payload-{C} | /usr/bin/node | node a.js | / | - | systemd:web.service => web.service | systemd
/system.slice/web.service/libpod-payload-{B} | /usr/bin/node | node a.js | / | - | systemd:web.service => pgdb | container
/system.slice/docker.service/docker/{C} | /usr/bin/node | node a.js | / | - | - => c3c3c3c3c3c3 | container
/lxc.payload.web1/system.slice/nginx.service | /usr/sbin/nginx | =nginx: worker process | / | - | - => web1/nginx.service | systemd | nginx
/lxc.payload.web2/system.slice/nginx.service | /usr/sbin/nginx | =nginx: worker process | / | - | - => web2/nginx.service | systemd | nginx
/lxc/101/ns/system.slice/api.service | /usr/bin/node | node a.js | / | - | - => 101/api.service | systemd
/lxc.payload.web1/user.slice/user-1000.slice/user@1000.service/app.slice/bot.service | /usr/bin/node | node a.js | / | - | - => web1/bot.service (user anna) | systemd
/lxc.payload.web1/init.scope | /usr/lib/systemd/systemd | /sbin/init | / | - | - => systemd | process
/lxc.payload.web1/system.slice/docker-{A}.scope | /usr/bin/node | node a.js | / | - | - => shop/api | container
/lxc.monitor.web1 | /usr/bin/lxc-start | lxc-start -n web1 | / | - | process:systemd => lxc-start | process
/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service | /usr/sbin/nginx | =nginx: worker process | / | - | - => systemd-nspawn@web.service | systemd | nginx
/system.slice/docker-{A}.scope | /usr/local/bin/node | node server.js | /app | - | systemd:containerd.service => shop/api | container
/docker/{A} | /usr/local/bin/node | node server.js | /app | - | systemd:docker.service => shop/api | container
/docker/{C} | /usr/local/bin/node | node server.js | /app | - | - => c3c3c3c3c3c3 | container
/system.slice/docker-{C}.scope | /usr/sbin/nginx | =nginx: worker process | / | - | container:c3c3c3c3c3c3 => c3c3c3c3c3c3 | container | nginx
/docker/{C}/docker/{A} | /usr/bin/redis-server | =redis-server *:6379 | /data | - | - => shop/api | container
/docker/{A}/system.slice/api.service | /usr/bin/node | node a.js | / | - | - => shop/api | container
/docker/{A} | /usr/bin/python3 | python3 w.py | /app | SUPERVISOR_ENABLED=1;SUPERVISOR_PROCESS_NAME=worker | - => shop/api | container
/system.slice/docker-{A}.scope | comm:sh | - | - | - | - => shop/api | container
/machine.slice/libpod-{B}.scope/container | /usr/bin/postgres | postgres | / | - | process:conmon => pgdb | container
/machine.slice/libpod-{B}.scope | /usr/bin/postgres | postgres | / | - | process:conmon => pgdb | container
/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{B}.scope/container | /usr/bin/postgres | postgres | / | - | process:conmon => pgdb | container
/libpod_parent/libpod-{B} | /usr/bin/postgres | postgres | / | - | process:conmon => pgdb | container
/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod6d2b.slice/cri-containerd-{C}.scope | /app/main | /app/main | / | - | - => c3c3c3c3c3c3 | container
/kubepods.slice/kubepods-pod6d2b.slice/crio-{C}.scope | /app/main | /app/main | / | - | - => c3c3c3c3c3c3 | container
/kubepods/besteffort/pod6d2b-11/{C} | /app/main | /app/main | / | - | - => c3c3c3c3c3c3 | container
/system.slice/containerd.service/kubepods-besteffort-pod6d.slice:cri-containerd:{C} | /app/main | /app/main | / | - | - => c3c3c3c3c3c3 | container
/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod6d2b.slice | /pause | /pause | / | - | - => pause | process
supervisor
/system.slice/supervisor.service | /usr/bin/python3.10 | python3 worker.py | /srv | SUPERVISOR_ENABLED=1;SUPERVISOR_PROCESS_NAME=worker;SUPERVISOR_GROUP_NAME=worker | systemd:supervisor.service => worker | supervisor
/system.slice/supervisor.service | /usr/bin/php8.1 | php artisan queue:work | /srv | SUPERVISOR_ENABLED=1;SUPERVISOR_PROCESS_NAME=queue_00;SUPERVISOR_GROUP_NAME=queue | systemd:supervisor.service => queue:queue_00 | supervisor
/system.slice/supervisord.service | /usr/bin/node | node a.js | /srv | SUPERVISOR_PROCESS_NAME=web | systemd:supervisord.service => web | supervisor
/system.slice/supervisor.service | /usr/bin/python3.10 | /usr/bin/python3 /usr/bin/supervisord -n -c /etc/supervisor/supervisord.conf | / | - | process:systemd => supervisor.service | systemd
/system.slice/supervisor.service | /usr/bin/python3.10 | /usr/bin/python3 /usr/bin/supervisord | / | SUPERVISOR_PROCESS_NAME=outer | process:systemd => supervisor.service | systemd
/system.slice/supervisor.service | comm:convert | - | - | - | supervisor:queue:queue_00 => queue:queue_00 | supervisor
/system.slice/supervisor.service | comm:python3 | - | - | - | systemd:supervisor.service => supervisor.service | systemd
/user.slice/user-0.slice/session-3.scope | /usr/bin/python3.10 | python3 worker.py | /srv | SUPERVISOR_PROCESS_NAME=worker | script:python3 supervisord in /usr/bin => worker | supervisor
- | /usr/bin/python3.10 | python3 worker.py | /srv | SUPERVISOR_PROCESS_NAME=worker | - => worker | supervisor
/system.slice/ssh.service | /usr/bin/bash | bash | /root | SUPERVISOR_PROCESS_NAME=worker | - => ssh.service | systemd
/system.slice/mysql.service | /usr/sbin/mysqld | mysqld | / | SUPERVISOR_PROCESS_NAME=worker | - => mysql.service | systemd
/system.slice/supervisor.service | /usr/sbin/nginx | =nginx: worker process | / | SUPERVISOR_PROCESS_NAME=nginx | supervisor:nginx => nginx | supervisor | nginx
pm2
/system.slice/pm2-root.service | /usr/bin/node | =PM2 v5.3.0: God Daemon (/root/.pm2) | / | - | process:systemd => pm2 | pm2
/system.slice/pm2-root.service | /usr/bin/node | node /srv/api/app.js | /srv/api | pm_id=0;name=api | pm2:pm2 => api | pm2
/user.slice/user-0.slice/session-9.scope | /usr/bin/node | node /srv/api/app.js | /srv/api | pm_id=3;name=shop api | pm2:pm2 => shop api | pm2
/user.slice/user-0.slice/session-9.scope | /usr/bin/node | =PM2 v4.5.6: God Daemon (/root/.pm2) | / | - | - => pm2 | pm2
/user.slice/user-1000.slice/user@1000.service/app.slice/pm2.service | /usr/bin/node | node app.js | /srv | pm_id=1;name=bot | pm2:pm2 => bot | pm2
/system.slice/redis.service | /usr/bin/redis-server | redis-server | / | pm_id=1;name=bot | - => redis.service | systemd
/user.slice/user-0.slice/session-9.scope | /usr/bin/dash | sh -c convert a.png | /srv/api | - | pm2:api => api | pm2
/system.slice/pm2-root.service | comm:ffmpeg | - | - | - | pm2:api => api | pm2
/system.slice/cron.service | /usr/bin/node | node app.js | /srv | pm_id=1;name=bot | - => bot | pm2
/user.slice/user-0.slice/session-9.scope | /usr/bin/node | node app.js | /srv | name=bot | process:bash => node app.js in /srv | script
- | /usr/bin/python3 | python3 app.py | /srv | pm_id=0;name= | process:bash => python3 app.py in /srv | script
runit, as Debian's package and others start it
- | /usr/bin/runsvdir | runsvdir -P /etc/service | /etc/service | - | process:runsvdir-start => runsvdir | process
- | /usr/bin/runsv | runsv web | /etc/sv/web | - | process:runsvdir<runsvdir -P /etc/service@/etc/service => runsv | process
- | comm:run | /bin/sh ./run | /etc/sv/web | - | process:runsv<runsv web@/etc/sv/web => web | runit
- | /usr/bin/sleep | sleep 1000 | /etc/sv/web | - | process:runsv<runsv web@/etc/sv/web => web | runit
- | /usr/bin/node | node server.js | /srv/shop | - | process:runsv<runsv web@/etc/sv/web => web | runit
- | /usr/bin/svlogd | svlogd -tt ./main | /etc/sv/web/log | - | process:runsv<runsv web@/etc/sv/web => web/log | runit
- | comm:svlogd | svlogd -tt ./main | - | - | process:runsv<runsv web@/etc/sv/web => web/log | runit
- | comm:run | /bin/sh ./run | /etc/sv/web/log | - | process:runsv<runsv web@/etc/sv/web => web/log | runit
- | comm:finish | /bin/sh ./finish -1 9 | /etc/sv/web | - | process:runsv<runsv web@/etc/sv/web => web | runit
- | comm:node | node server.js | - | - | process:runsv<runsv /etc/sv/web => web | runit
- | comm:node | node server.js | - | - | process:runsv<runsv .@/etc/sv/web => web | runit
- | comm:node | node server.js | - | - | process:runsv<runsv => node server.js | script
- | /bin/busybox | udhcpc -f -i eth0 | /etc/sv/dhcp | - | process:busybox<runsv dhcp@/etc/sv/dhcp => dhcp | runit
/system.slice/runit.service | /usr/bin/runsv | runsv web | /etc/sv/web | - | systemd:runit.service<runsvdir -P /etc/service@/etc/service => runit.service | systemd
/system.slice/runit.service | /usr/bin/node | node server.js | /etc/sv/web | - | systemd:runit.service<runsv web@/etc/sv/web => web | runit
/system.slice/runit.service | /usr/bin/dash | sh -c convert a.png | /srv | - | runit:web<node server.js => web | runit
- | /usr/sbin/nginx | =nginx: worker process | / | - | runit:nginx<=nginx: master process nginx => nginx | runit | nginx
- | /usr/sbin/php-fpm8.2 | =php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf) | / | - | process:runsv<runsv php@/etc/sv/php => php | runit
- | /usr/sbin/php-fpm8.2 | =php-fpm: pool www | / | - | runit:php => php-fpm/www | php-fpm
/docker/{A} | /usr/bin/node | node server.js | /app | - | container:shop/api<runsv web@/etc/service/web => shop/api | container
s6 and s6-rc
- | /usr/bin/s6-svscan | s6-svscan /run/service | /run/service | - | process:bash => s6-svscan | process
- | /usr/bin/s6-supervise | s6-supervise api | /run/service/api | - | process:s6-svscan<s6-svscan /run/service@/run/service => s6-supervise | process
- | /usr/bin/sleep | sleep 2000 | /run/service/api | - | process:s6-supervise<s6-supervise api@/run/service/api => api | s6
- | comm:run | /bin/sh ./run | - | - | process:s6-supervise<s6-supervise api => api | s6
- | /usr/bin/s6-log | s6-log n20 s1000000 /var/log/api | / | - | process:s6-supervise<s6-supervise api/log@/run/service/api/log => api/log | s6
/system.slice/s6.service | /usr/bin/node | node server.js | /srv | - | systemd:s6.service<s6-supervise api@/run/service/api => api | s6
PHP-FPM, of distributions and of aaPanel
/system.slice/php8.1-fpm.service | /usr/sbin/php-fpm8.1 | =php-fpm: pool www | / | - | systemd:php8.1-fpm.service => php-fpm/www | php-fpm
/system.slice/php8.1-fpm.service | /usr/sbin/php-fpm8.1 | =php-fpm: master process (/etc/php/8.1/fpm/php-fpm.conf)            | / | - | process:systemd => php8.1-fpm.service | systemd
/system.slice/php-fpm.service | /usr/sbin/php-fpm | =php-fpm: pool shop | / | - | - => php-fpm/shop | php-fpm
- | /www/server/php/74/sbin/php-fpm | =php-fpm: pool www | / | - | process:systemd => php-fpm-74/www | php-fpm
/user.slice/user-0.slice/session-3.scope | /www/server/php/80/sbin/php-fpm | =php-fpm: master process (/www/server/php/80/etc/php-fpm.conf) | / | - | process:systemd => php-fpm-80 | php-fpm
- | comm:php-fpm | =php-fpm: master process (/www/server/php/81/etc/php-fpm.conf) | - | - | - => php-fpm-81 | php-fpm
- | /usr/sbin/php-fpm7.4 | =php-fpm: master process (/etc/php/7.4/fpm/php-fpm.conf) | / | - | - => php-fpm | php-fpm
- | /usr/sbin/php-fpm8.2 | php-fpm8.2 -F -y /srv/shop/fpm.conf | / | - | process:runner => php-fpm | php-fpm
/system.slice/php8.1-fpm.service | /usr/sbin/php-fpm8.1 | /usr/sbin/php-fpm8.1 --nodaemonize | / | - | process:systemd => php8.1-fpm.service | systemd
/system.slice/php8.1-fpm.service | /usr/bin/convert | convert a.png b.png | / | - | php-fpm:php-fpm/www => php-fpm/www | php-fpm
/system.slice/php8.1-fpm.service | comm:sh | - | - | - | php-fpm:php-fpm/www => php-fpm/www | php-fpm
application servers
- | /usr/bin/python3.10 | /srv/venv/bin/python3 /srv/venv/bin/gunicorn --bind unix:app.sock -m 007 wsgi:app | /srv/shop | - | process:bash => gunicorn wsgi:app in /srv/shop | app-server
- | /usr/bin/python3.10 | =gunicorn: master [shop.wsgi:application] | /srv/shop | - | process:bash => gunicorn shop.wsgi:application in /srv/shop | app-server
- | /usr/bin/python3.10 | /srv/venv/bin/python3 /srv/venv/bin/gunicorn -b 127.0.0.1:8000 shop.wsgi:application | /srv/shop | - | process:bash => gunicorn shop.wsgi:application in /srv/shop | app-server
- | /usr/bin/python3.10 | =gunicorn: worker [shop] | /srv/shop | - | app-server:gunicorn shop.wsgi in /srv/shop => gunicorn shop.wsgi in /srv/shop | app-server
- | /usr/bin/python3.10 | python3 -m gunicorn app:app | /srv/shop | - | - => gunicorn app:app in /srv/shop | app-server
- | /usr/bin/python3.10 | /usr/bin/python3 /usr/local/bin/uvicorn main:app --host 0.0.0.0 | /srv/shop | - | process:bash => uvicorn main:app in /srv/shop | app-server
- | /usr/bin/uwsgi-core | uwsgi --ini /etc/uwsgi/apps-enabled/shop.ini | / | - | - => uwsgi shop | app-server
- | /usr/bin/uwsgi-core | =uWSGI worker 3 | / | - | app-server:uwsgi shop => uwsgi shop | app-server
- | /usr/bin/ruby3.0 | =puma 5.6.5 (tcp://0.0.0.0:3000) [shop] | /srv/shop | - | process:bash => puma shop in /srv/shop | app-server
- | /usr/bin/ruby3.0 | =puma: cluster worker 0: 1234 [shop] | /srv/shop | - | app-server:puma shop in /srv/shop => puma shop in /srv/shop | app-server
- | /usr/bin/ruby3.0 | =sidekiq 6.5.1 shop [2 of 5 busy] | /srv/shop | - | - => sidekiq shop in /srv/shop | app-server
- | /usr/bin/ruby3.0 | =unicorn master -c config/unicorn.rb -D | /srv/shop | - | - => unicorn in /srv/shop | app-server
- | /usr/bin/ruby3.0 | =unicorn worker[0] -c config/unicorn.rb -D | /srv/shop | - | - => unicorn in /srv/shop | app-server
- | /usr/bin/python3.10 | /usr/bin/python3 /usr/local/bin/celery -A shop worker -l info | /srv/shop | - | process:bash => celery shop in /srv/shop | app-server
- | /usr/bin/python3.10 | =[celeryd: celery@web1:MainProcess] -active- (worker -A shop) | /srv/shop | - | - => celery shop in /srv/shop | app-server
proxies that nobody manages
- | /www/server/nginx/sbin/nginx.old | =nginx: master process /www/server/nginx/sbin/nginx | / | - | process:systemd => nginx | proxy | nginx
/system.slice/caddy.service | /usr/bin/caddy.custom | /usr/bin/caddy run --environ | / | - | process:systemd => caddy.service | systemd | caddy
/user.slice/user-0.slice/session-3.scope | /www/server/nginx/sbin/nginx | =nginx: master process /www/server/nginx/sbin/nginx -c /www/server/nginx/conf/nginx.conf | / | - | process:systemd => nginx | proxy | nginx
- | /usr/local/openresty/nginx/sbin/nginx | =nginx: worker process | / | - | proxy:nginx => nginx | proxy | nginx
- | /usr/local/bin/traefik | traefik --configfile=t.yml | / | - | process:bash => traefik | proxy | traefik
- | /usr/local/bin/envoy | envoy -c envoy.yaml | / | - | process:bash => envoy | proxy | envoy
- | comm:nginx | - | - | - | proxy:nginx => nginx | proxy | nginx
- | /usr/bin/dash | /bin/sh /etc/init.d/nginx start | / | - | process:bash => sh nginx in /etc/init.d | script
- | comm:nginx | /bin/sh /etc/init.d/nginx start | / | - | process:bash => sh nginx in /etc/init.d | script
- | /usr/bin/nginx-prometheus-exporter | nginx-prometheus-exporter | / | - | process:bash => nginx-prometheus-exporter | process
- | /www/server/apache/bin/httpd | /www/server/apache/bin/httpd -k start | / | - | process:systemd => apache | proxy | apache
- | comm:php-cgi | - | - | - | proxy:apache => apache | proxy
- | /usr/sbin/rotatelogs | /usr/sbin/rotatelogs log 86400 | / | - | proxy:apache => apache | proxy
aaPanel
/system.slice/bt.service | /www/server/panel/pyenv/bin/python3.7 | /www/server/panel/pyenv/bin/python3 /www/server/panel/BT-Panel | /www/server/panel | - | process:systemd => bt.service | systemd
/system.slice/bt.service | /usr/bin/node | node app.js | /www/wwwroot/shop | - | systemd:bt.service => shop | aapanel
/system.slice/bt.service | /usr/bin/dash | sh -c convert a.png | /www/wwwroot/shop | - | aapanel:shop => shop | aapanel
/system.slice/bt.service | /www/server/nginx/sbin/nginx | =nginx: master process /www/server/nginx/sbin/nginx | / | - | process:systemd => nginx | proxy | nginx
/system.slice/bt.service | /www/server/php/80/sbin/php-fpm | =php-fpm: master process (/www/server/php/80/etc/php-fpm.conf) | / | - | process:systemd => php-fpm-80 | php-fpm
/system.slice/cron.service | /usr/bin/node | node app.js | /www/wwwroot/shop | - | systemd:cron.service => cron.service | systemd
/system.slice/nginx.service | /www/server/nginx/sbin/nginx | =nginx: worker process | / | - | systemd:nginx.service => nginx.service | systemd | nginx
- | /usr/bin/node | node app.js | /www/wwwroot/shop.example.com | - | process:bash => shop.example.com | aapanel
- | /www/server/nodejs/v18.20.4/bin/node | node /www/wwwroot/shop/server/index.js | / | - | process:systemd => shop | aapanel
- | /www/wwwroot/goapp/goapp | ./goapp | /www/wwwroot/goapp | - | process:systemd => goapp | aapanel
- | /usr/bin/java | /usr/bin/java -Xmx512m -jar /www/wwwroot/erp/erp.jar | / | - | process:bash => erp | aapanel
- | /usr/bin/bash | bash | /www/wwwroot/shop.example.com | - | process:sshd => bash | process
- | /usr/bin/tail | tail -f x.log | /www/wwwroot/shop.example.com | - | process:bash => tail | process
- | /usr/bin/node | node app.js | /www/wwwroot | - | process:bash => node app.js in /www/wwwroot | script
- | /usr/bin/node | node app.js | /www/wwwroot/shop | pm_id=0;name=shop-api | pm2:pm2 => shop-api | pm2
- | /www/server/panel/pyenv/bin/python3.7 | /www/server/panel/pyenv/bin/python3 /www/server/panel/BT-Panel | /www/server/panel | - | process:systemd => python3 BT-Panel in /www/server/panel | script
scripts
- | /usr/bin/bash | bash -euo pipefail deploy.sh | /srv | - | process:sshd => bash deploy.sh in /srv | script
- | /usr/bin/bash | bash --noprofile --norc -eo pipefail /srv/ci.sh | /srv | - | process:sshd => bash ci.sh in /srv | script
- | /usr/bin/bash | bash -ex deploy.sh | /srv | - | process:sshd => bash deploy.sh in /srv | script
- | /usr/bin/bash | bash -lc TOKEN=secret | /srv | - | process:sshd => bash | process
- | /usr/bin/bash | bash /dev/fd/3 | /srv | - | process:sshd => bash | process
- | /usr/bin/dash | sh -ec secret | /srv | - | process:sshd => dash | process
- | /usr/bin/bash | bash -euo pipefail -c secret | /srv | - | process:sshd => bash | process
- | /usr/bin/perl | perl -lane secret | /srv | - | process:bash => perl | process
- | /usr/bin/perl | perl -MData::Dumper -w job.pl | /srv | - | process:bash => perl job.pl in /srv | script
- | /usr/bin/python3.11 | python3 -Ic secret | /srv | - | process:bash => python3.11 | process
- | /usr/bin/python3.11 | python3 -um http.server | /srv | - | process:bash => python3 -m http.server in /srv | script
- | /usr/bin/python3.11 | python3 -Wdefault::cmd -X dev bot.py | /srv | - | process:bash => python3 bot.py in /srv | script
- | /usr/bin/ruby3.1 | ruby -rjson -ne secret | /srv | - | process:bash => ruby3.1 | process
- | /usr/bin/ruby3.1 | ruby -Ilib bin/job | /srv | - | process:bash => ruby bin/job in /srv | script
- | /usr/bin/node | node --watch-path ./src app.js | /srv | - | process:bash => node app.js in /srv | script
- | /usr/bin/php8.2 | php artisan queue:work | /srv | - | process:flock => php artisan queue:work in /srv | script
- | /usr/bin/node | node worker.js | /var/www/app | - | process:bash => node worker.js in /var/www/app | script
- | /usr/bin/node | node --max-old-space-size=512 -r dotenv/config ./dist/main.js | /var/www/app | - | process:bash => node dist/main.js in /var/www/app | script
- | /usr/bin/node | /usr/bin/node /var/www/app/bin/www | /var/www/app | - | process:systemd => node bin/www in /var/www/app | script
- | /usr/bin/node | node /opt/tool/run.js | / | - | process:bash => node run.js in /opt/tool | script
- | /usr/bin/node | =npm run start | /var/www/app | - | process:bash => npm run start in /var/www/app | script
- | /usr/bin/node | =next-server (v14.1.0) | /var/www/app | - | process:bash => next-server in /var/www/app | script
- | /usr/bin/node | node -e 1 | / | - | process:bash => node | process
- | /usr/bin/python3.11 | python3.11 -u -X dev bot.py --debug | /home/anna | - | process:tmux: server => python3 bot.py in /home/anna | script
- | /usr/bin/python3.11 | python -m http.server 8000 | /srv | - | process:bash => python3 -m http.server in /srv | script
- | /usr/bin/python3.11 | python manage.py runserver 0:8000 | /srv | - | process:zsh => python3 manage.py runserver in /srv | script
- | /usr/bin/php8.2 | php artisan queue:work --tries=3 | /var/www/shop | - | process:systemd => php artisan queue:work in /var/www/shop | script
- | /usr/bin/php8.2 | php -d memory_limit=1G /var/www/shop/artisan horizon | /root | - | process:cron => php artisan horizon in /var/www/shop | script
- | /usr/bin/php8.2 | php -S 127.0.0.1:8080 -t public | /srv | - | process:bash => php -S 127.0.0.1:8080 in /srv | script
- | /usr/lib/jvm/java-17/bin/java | java -Xmx1g -Dx=y -jar /opt/app/app.jar --port=1 | /opt/app | - | process:bash => java -jar app.jar in /opt/app | script
- | /usr/lib/jvm/java-17/bin/java | java -cp lib/a.jar:lib/b.jar com.example.Main | /opt/app | - | process:bash => java com.example.Main in /opt/app | script
- | /usr/bin/ruby3.1 | ruby -I lib bin/job | /srv | - | process:bash => ruby bin/job in /srv | script
- | /usr/bin/perl | /usr/bin/perl -w /usr/local/bin/watchd | / | - | process:systemd => perl watchd in /usr/local/bin | script
- | /usr/bin/dotnet | dotnet Shop.dll | /srv/shop | - | process:bash => dotnet Shop.dll in /srv/shop | script
- | /root/.bun/bin/bun | bun run server.ts | /srv | - | process:bash => bun server.ts in /srv | script
- | /usr/bin/bash | /bin/bash ./deploy.sh | /root | - | process:bash => bash deploy.sh in /root | script
- | comm:node | node worker.js | - | - | process:bash => node worker.js | script
- | comm:node | node /usr/bin/npm run start | /var/www/app | - | process:bash => npm run start in /var/www/app | script
- | /usr/bin/node | =npm run start --silent | /var/www/app | - | process:bash => npm run start in /var/www/app | script
- | /usr/bin/node | node /usr/lib/node_modules/npm/bin/npm-cli.js --silent start | /srv | - | process:bash => npm start in /srv | script
- | /usr/bin/node | node /usr/local/bin/serve -s build | /srv | - | process:bash => node serve in /srv | script
children
- | /usr/bin/dash | sh -c convert a.png | /var/www/app | - | script:node worker.js in /var/www/app => node worker.js in /var/www/app | script
- | /usr/bin/grep | grep x | /var/www/app | - | script:node worker.js in /var/www/app => node worker.js in /var/www/app | script
- | /usr/bin/node | node child.js | /var/www/app | - | script:npm start in /var/www/app => npm start in /var/www/app | script
- | /usr/bin/node | node a.js | /srv | - | process:cargo => node a.js in /srv | script
- | /usr/bin/python3 | python3 h.py | / | - | process:mydaemon => mydaemon | process
- | comm:sh | - | - | - | process:mydaemon => mydaemon | process
- | /usr/bin/node | node a.js | /srv | - | process:containerd-shim-runc-v2 => node a.js in /srv | script
- | /usr/bin/node | node a.js | /srv | - | process:SCREEN => node a.js in /srv | script
- | /usr/bin/node | node a.js | /srv | - | pm2:pm2 => node a.js in /srv | script
/system.slice/api.service | /usr/bin/git | git gc | / | - | config:shop => shop | config
/docker/{A} | /usr/bin/git | git gc | / | - | config:shop => shop | config
- | comm:git | - | - | - | config:shop => shop | config
/system.slice/supervisor.service | /usr/bin/node | node a.js | /srv | SUPERVISOR_PROCESS_NAME=web | config:my supervisor => web | supervisor
/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope | /usr/bin/bash | bash | / | - | systemd:gnome-terminal-server.service (user anna) => bash | process
- | /usr/bin/grep | grep x | / | - | systemd:api.service => api.service | systemd
- | /usr/bin/grep | grep x | / | - | systemd:ssh.service => grep | process
- | /usr/bin/node | node a.js | /srv | - | script:bash start.sh in /srv => node a.js in /srv | script
- | /usr/bin/sleep | sleep 1 | /srv | - | script:bash start.sh in /srv => bash start.sh in /srv | script
- | /usr/bin/python3 | python3 w.py | /srv | - | process:outage-0123456789abcdef => python3 w.py in /srv | script
- | /usr/bin/redis-server | =redis-server *:6379 | / | - | script:python3 BT-Panel in /www/server/panel => redis-server | process
- | /usr/bin/tail | tail puma | / | - | process:bash => tail | process
- | /usr/bin/ruby3.0 | ruby /usr/bin/bundle exec sidekiq | /srv/shop | - | process:bash => sidekiq in /srv/shop | app-server
- | /usr/bin/python3.10 | python3 -u /srv/venv/bin/gunicorn app:app | /srv/shop | - | process:bash => gunicorn app:app in /srv/shop | app-server
";
